/**
 * The one conversation on the page: which it is, its history, and what the person does in it.
 *
 * Knows the client and the API through the page, which also feeds it with the client's events.
 */

import { errorCard } from "./error_card.js";
import { welcome } from "./shell.js";
import { strings } from "./strings.js";

export class Room {
  /** `opener` is the ref of the first message while the conversation has no session id yet. */
  current = { sessionId: null, opener: null, isLoaded: true };
  #page;

  /** @param {object} page the parts of the page, see `page.js` */
  constructor(page) {
    this.#page = page;
  }

  /** Whether an event of this session is shown here. */
  isHere(sessionId) {
    return this.current.isLoaded && sessionId === this.current.sessionId;
  }

  async open(sessionId, { isNewEntry = true } = {}) {
    const { api, client, conversation, log, urlOf } = this.#page;
    const opened = this.#show({ sessionId, opener: null, isLoaded: false }, isNewEntry && urlOf(sessionId));
    log.showLoading(true);
    try {
      const { session, messages, has_more } = await api.history(sessionId);
      if (this.current !== opened) return;
      log.showLoading(false);
      opened.isLoaded = true;
      for (const message of messages) conversation.addMessage(message);
      client.follow(sessionId, messages);
      this.showPending();
      this.showSession(session);
      this.#offerEarlier(opened, messages, has_more);
      log.scrollToEnd();
    } catch (failure) {
      if (this.current !== opened) return;
      log.showLoading(false);
      // What is not there cannot be written to: whatever is said next opens another conversation.
      if (failure.status === 404) Object.assign(opened, { sessionId: null, isLoaded: true });
      else opened.hasFailed = true;
      this.showHttpError(failure, () => this.open(sessionId, { isNewEntry: false }));
    }
  }

  /** The connection is back: what could not be loaded may be there now. */
  openAgainIfFailed() {
    const { sessionId, hasFailed } = this.current;
    if (hasFailed) this.open(sessionId, { isNewEntry: false });
  }

  /** A conversation that the server does not know; with `opener`, the one whose messages are still on their way. */
  startNew({ isNewEntry = true, opener = null } = {}) {
    this.#show({ sessionId: null, opener, isLoaded: true }, isNewEntry && this.#page.facts.page_url, { isFresh: true });
    this.showSession({ title: strings.newConversation, ended_at: null });
    if (opener) this.showPending();
    this.#showWelcomeIfEmpty();
  }

  /** The server has opened a session for the message with this ref. */
  takeSession({ session_id, opener }) {
    if (opener !== this.current.opener) return;
    const { sessions, drafts, end, urlOf } = this.#page;
    Object.assign(this.current, { sessionId: session_id, opener: null });
    drafts.adopt(session_id);
    history.replaceState(null, "", urlOf(session_id));
    sessions.setCurrent(session_id);
    end.hidden = false;
  }

  showSession({ title, ended_at, model_id }) {
    const { composer, conversation, endedNote, models, end } = this.#page;
    this.showTitle(title);
    models.value = model_id;
    conversation.setEnded(Boolean(ended_at));
    composer.hidden = Boolean(ended_at);
    endedNote.hidden = !ended_at;
    end.hidden = Boolean(ended_at) || !this.current.sessionId;
  }

  showTitle(title) {
    this.#page.title.textContent = title || strings.untitled;
    document.title = strings.conversationTitle(title || strings.untitled);
  }

  /** Nobody can write here any more. */
  showEnded() {
    const { composer, conversation, endedNote, end } = this.#page;
    conversation.setEnded(true);
    composer.hidden = end.hidden = true;
    endedNote.hidden = false;
  }

  showPending() {
    for (const item of this.#pending()) this.#page.conversation.addPending(item);
  }

  // --- What the person does ---

  say(content) {
    const { client, conversation, log, models } = this.#page;
    const { sessionId, opener } = this.current;
    const item = client.say({ content, sessionId, opener, modelId: sessionId ? undefined : models.value });
    if (!sessionId && !opener) this.current.opener = item.ref;
    conversation.addPending(item);
    log.showWelcome();
    log.showNotice();
    log.scrollToEnd();
    return item;
  }

  resend(ref) {
    this.#page.client.resend(ref);
    this.showPending();
  }

  /** Do not send a refused message again by itself. */
  hold(ref) {
    this.#page.client.hold(ref);
    this.showPending();
  }

  /** Give up a message that was refused. @returns {string} its text */
  remove(ref) {
    const { client, conversation, composer, endedNote } = this.#page;
    const item = this.#pending().find((other) => other.ref === ref);
    client.discard(ref);
    conversation.removePending(ref);
    if (!endedNote.hidden) this.startNew(); // nothing can be said here any more
    this.#showWelcomeIfEmpty();
    composer.focus();
    return item?.content ?? "";
  }

  /** Keep what was typed, for this conversation. */
  keepDraft(text) {
    this.#page.drafts.set(this.current.sessionId, text);
  }

  // --- What was done to a conversation, here or on another device ---

  takeChange({ session_id, title, model_id, ended_at }) {
    if (!this.isHere(session_id)) return;
    if (title) this.showTitle(title);
    if (model_id) this.#page.models.value = model_id;
    if (ended_at) this.showEnded();
  }

  takeDeletion(sessionId, { notice = "" } = {}) {
    const { drafts, client, notices } = this.#page;
    drafts.set(sessionId, "");
    for (const { ref } of client.pending(sessionId)) client.discard(ref);
    if (sessionId !== this.current.sessionId) return;
    client.unfollow(sessionId);
    this.current.sessionId = null;
    this.startNew();
    if (notice) notices.tell(notice);
  }

  // --- Failures of the conversation as a whole ---

  /** @param {Error} failure of the API, or a defect, which is not ours to hide */
  showHttpError(failure, onRetry) {
    if (!failure.error) throw failure;
    if (failure.status === 401) this.#page.line.showSignIn();
    else this.showError(failure.error, { onRetry });
  }

  showError(error, handlers, facts = {}) {
    const all = { onNew: () => this.startNew(), loginUrl: this.#page.loginUrl(), ...handlers };
    this.#page.log.showNotice(errorCard(error, all, { ...facts, tellsOutcome: false }));
  }

  // --- Inside ---

  #pending() {
    return this.#page.client.pending(this.current.sessionId ?? this.current.opener);
  }

  /** Make another conversation the one on the page. */
  #show(next, url, entry = null) {
    const { client, composer, conversation, drafts, log, sessions, end, typing, closeSidebar } = this.#page;
    const { sessionId } = this.current;
    if (sessionId && sessionId !== next.sessionId) client.unfollow(sessionId);
    this.current = next;
    if (url) history.pushState(entry, "", url);
    conversation.clear();
    log.showWelcome();
    log.showNotice();
    log.offerEarlier(null);
    sessions.setCurrent(next.sessionId);
    end.hidden = true;
    typing.hide();
    composer.restore(drafts.get(next.sessionId));
    closeSidebar();
    if (this.#page.hasPointer()) composer.focus();
    return next;
  }

  #offerEarlier(opened, messages, hasMore) {
    const { api, conversation, log } = this.#page;
    const load = async () => {
      try {
        const page = await api.history(opened.sessionId, { before: messages[0].seq });
        if (this.current !== opened) return;
        log.keepPlace(() => {
          for (const message of page.messages) conversation.addMessage(message);
          this.#offerEarlier(opened, page.messages, page.has_more);
        });
      } catch (failure) {
        if (this.current === opened) this.showHttpError(failure, load);
      }
    };
    log.offerEarlier(hasMore ? load : null);
  }

  #showWelcomeIfEmpty() {
    const { conversation, facts, log } = this.#page;
    const say = (text) => this.say(text);
    const isEmpty = conversation.isEmpty && this.current.isLoaded;
    log.showWelcome(...(isEmpty ? welcome({ hasFaultCommands: facts.has_fault_commands, say }) : []));
  }
}
