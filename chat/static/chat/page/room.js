/**
 * The one conversation on the page: which it is, its history, and what is done to it.
 *
 * Knows the client and the API through the page, which also feeds it with the client's events.
 */

import { errorCard } from "./error_card.js";
import { OwnMessages } from "./own_messages.js";
import { welcome } from "./shell.js";
import { strings } from "./strings.js";

/** A tab that shows what is deleted here takes its draft over meanwhile: two that write at once overwrite each other. */
const FORGET_MS = 2_000;

export class Room {
  /**
   * `opener` is the ref of the first message while the conversation has no session id yet. `isLoaded`: what is shown is
   * all that the server has. `hasText`: something of the history is shown, if only what was known of it before.
   */
  current = { sessionId: null, opener: null, isLoaded: true, hasText: false };
  messages;
  #page;

  /** @param {object} page the parts of the page, see `page.js` */
  constructor(page) {
    this.#page = page;
    /** What the person says in it. */
    this.messages = new OwnMessages(page, this);
  }

  /** Whether an event of this session is shown here. */
  isHere(sessionId) {
    return Boolean(sessionId) && sessionId === this.current.sessionId;
  }

  /** Whether nothing can be said here any more. */
  get isOver() {
    return Boolean(this.#page.head.isEnded || this.current.isMissing);
  }

  /** Show a conversation. What is on the page of it already stays until the server has told it anew. */
  async open(sessionId, { isNewEntry = true } = {}) {
    const { historyView, log } = this.#page;
    const opened = this.#show({ sessionId, opener: null, isLoaded: false }, { isNewEntry });
    try {
      const session = await historyView.load(opened);
      if (!session) return;
      this.messages.show();
      this.messages.list();
      this.#showHead(session);
      log.scrollToEnd();
    } catch (failure) {
      if (failure.status === 404) this.#showMissing(opened, failure);
      else this.#showUnloaded(opened, failure);
    }
  }

  /** What could not be loaded may be there now: the connection is back, or has taken a message of it. */
  openAgainIfFailed() {
    const { sessionId, hasFailed } = this.current;
    if (hasFailed) this.open(sessionId, { isNewEntry: false });
  }

  /** A conversation that the server does not know; with `opener`, the one whose messages are still on their way. */
  startNew({ isNewEntry = true, opener = null } = {}) {
    this.#show({ sessionId: null, opener, isLoaded: true }, { isNewEntry });
    this.showWelcomeIfEmpty();
  }

  /** The server has opened a session for the message with this ref. */
  takeSession({ session_id, opener }) {
    const { address, drafts, head, histories, sessions } = this.#page;
    histories.keep({ session: { session_id, title: "" }, messages: [], has_more: false });
    drafts.move(opener, session_id);
    this.messages.list();
    if (opener !== this.current.opener) return;
    Object.assign(this.current, { sessionId: session_id, opener: null });
    address.correct(this.current);
    sessions.setCurrent(session_id);
    head.showStored();
  }

  /** Keep what was typed, for this conversation. */
  keepDraft(text) {
    this.#page.drafts.set(this.#draftName, text);
  }

  /** Where nothing is said yet, offer something to say. */
  showWelcomeIfEmpty() {
    const { conversation, facts, log } = this.#page;
    const say = (text) => this.messages.say(text);
    const isEmpty = conversation.isEmpty && this.current.isLoaded;
    const offers = { suggestions: facts.suggestions, hasFaultCommands: facts.has_fault_commands, say };
    log.showWelcome(...(isEmpty ? welcome(offers) : []));
  }

  // --- What was done to a conversation, here or on another device ---

  takeChange({ session_id, title, model_id, ended_at }) {
    const { head, models } = this.#page;
    if (!this.isHere(session_id)) return;
    if (title) head.showTitle(title);
    if (model_id) models.value = model_id;
    if (ended_at) this.showEnded();
  }

  /** Nobody can write here any more. */
  showEnded() {
    this.#freeBox();
    this.#page.head.showEnded();
  }

  /** The list is loaded: it may name what could not be loaded itself. */
  takeList() {
    const { head, sessions } = this.#page;
    const { sessionId, isLoaded, isMissing } = this.current;
    const listed = sessions.get(sessionId);
    if (listed && !isLoaded && !isMissing) head.showTitle(listed.title);
  }

  takeDeletion(sessionId, { title, isElsewhere }) {
    const { activity, client, composer, drafts, histories, notices } = this.#page;
    const isHere = this.isHere(sessionId);
    const unsent = client.pending(sessionId);
    for (const { ref } of unsent) client.discard(ref);
    activity.forget(sessionId);
    histories.forget(sessionId);
    client.unfollow(sessionId);
    const said = [...unsent.map(({ content }) => content), isHere ? composer.text : drafts.get(sessionId)];
    const kept = isElsewhere ? said.filter(Boolean).join("\n") : "";
    const isNewHere = !isHere && !this.#draftName;
    if (isNewHere) this.keepDraft(composer.text);
    if (isElsewhere) drafts.move(sessionId, null, kept); // it can be said in another conversation
    else setTimeout(() => drafts.set(sessionId, ""), FORGET_MS);
    if (isNewHere) composer.restore(drafts.get(null));
    if (isHere) {
      this.current.sessionId = null;
      this.startNew();
    }
    const words = isHere || !kept ? strings.deletedElsewhere(title) : strings.deletedElsewhereKept(title);
    if (isElsewhere && (isHere || kept)) notices.tell(words, { isPassing: isHere });
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

  get #draftName() {
    return this.current.sessionId ?? this.current.opener;
  }

  /** Make another conversation the one on the page, or begin to load the same one anew. */
  #show(next, { isNewEntry }) {
    const { activity, address, client, composer, conversation, drafts, log, notices } = this.#page;
    const { sessions, typing, unsent, closeSidebar } = this.#page;
    const before = this.current;
    const isSame = this.isHere(next.sessionId);
    const isRetried = Boolean(document.activeElement?.closest(".log-notice")); // a card whose button may go with it
    this.current = { ...next, hasText: isSame && before.hasText };
    if (!isSame) {
      if (before.sessionId && !activity.isWriting(before.sessionId)) client.unfollow(before.sessionId);
      activity.see(next.sessionId);
      if (isNewEntry) address.go(next);
      conversation.clear();
      log.showWelcome();
      log.showNotice();
      notices.leave();
      log.showLoading(false);
      log.offerEarlier(null);
      sessions.setCurrent(next.sessionId);
      this.#page.showStop();
      unsent.setCurrent(next.opener);
      typing.hide();
      composer.restore(drafts.get(this.#draftName));
      this.#showHead(this.#known(next));
      this.messages.show();
    }
    if (isSame && !isNewEntry && !isRetried) return this.current; // nobody asked for it: the focus stays where it is
    closeSidebar();
    if (this.#page.hasPointer()) composer.focus();
    return this.current;
  }

  /** What can be said of a conversation before the server has told of it. */
  #known({ sessionId }) {
    const { histories, sessions } = this.#page;
    if (!sessionId) return { title: strings.newConversation };
    return sessions.get(sessionId) ?? histories.get(sessionId)?.session ?? { title: strings.unknownTitle };
  }

  #showHead(session) {
    if (session.ended_at) this.#freeBox();
    this.#page.head.show(session, { isStored: Boolean(this.current.sessionId) });
  }

  #showUnloaded(opened, failure) {
    opened.hasFailed = true;
    this.showHttpError(failure, () => this.open(opened.sessionId, { isNewEntry: false }));
  }

  /** There is no such conversation. */
  #showMissing(opened, { error }) {
    opened.isMissing = true;
    this.#freeBox();
    this.#page.head.showMissing();
    this.showError({ ...error, message: strings.missing });
  }

  /** Nothing can be said here any more: what is typed can be said in another conversation. */
  #freeBox() {
    const { composer, drafts } = this.#page;
    drafts.move(this.#draftName, null, composer.text);
    composer.restore("");
  }
}
