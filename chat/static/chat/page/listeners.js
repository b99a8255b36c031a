/** What the server says, and which part of the page it concerns. */

import { h } from "./dom.js";
import { strings } from "./strings.js";

/**
 * @param {import("../client.js").ChatClient} client
 * @param {object} page the parts of the page, see `page.js`
 * @param {(sessionId: string|null) => void} page.begin the person's latest conversation is known
 */
export function listenTo(client, page) {
  const { activity, address, announce, begin, conversation, histories, line, log, models } = page;
  const { notices, room, sessions, typing } = page;
  const listen = (type, listener) => client.addEventListener(type, ({ detail }) => listener(detail));

  listen("state", (detail) => {
    line.show(detail);
    if (line.reference) notices.withdraw(line.reference);
    conversation.setConnection(detail);
    if (detail.state !== "open") {
      typing.hide();
      room.messages.show(); // what was on its way may have arrived, or not
      room.messages.list();
      return;
    }
    room.openAgainIfFailed();
    if (detail.attempt > 0) sessions.refreshSoon(); // what happened meanwhile
  });

  listen("status", (detail) => {
    models.setModels(detail.models);
    begin(detail.session_id);
  });

  listen("session", (detail) => {
    room.takeSession(detail);
    sessions.refreshSoon();
  });

  listen("message", (message) => {
    sessions.touch(message.session_id, message.timestamp);
    histories.note(message);
    const isAnswer = message.sender !== "user";
    if (isAnswer) takeEnd({ ...message.reply, session_id: message.session_id });
    if (!room.isHere(message.session_id)) return;
    if (!isAnswer) typing.hide();
    conversation.addMessage(message, { isFresh: true });
    log.showWelcome();
    if (isAnswer) announce(strings.announceReply(message.content));
    else if (room.messages.has(message.client_ref)) room.openAgainIfFailed();
    else announce(strings.announceOwn(message.content));
  });

  listen("reply", (detail) => {
    activity.noteReply(detail);
    if (detail.state === "stopped") {
      histories.noteEnd({ ...detail, message_id: detail.in_reply_to });
      leaveIfOver(detail.session_id);
    }
    if (!room.isHere(detail.session_id)) return;
    conversation.updateReply(detail);
    if (detail.state === "pending") announce(strings.announceThinking);
  });

  listen("error", (detail) => {
    const { error, request, session_id, reply_id, retryAt, waitsForReply } = detail;
    const isHere = !session_id || room.isHere(session_id);
    if (request === "model_select" && isHere && !retryAt) models.revert();
    if (error.code === "SESSION_ENDED" && isHere) room.showEnded();
    if (request === "user_message") room.messages.list(); // it may be one of them
    let repeatedAt = retryAt;
    if (reply_id) {
      histories.noteEnd(detail);
      takeEnd(detail);
      if (isHere) repeatedAt = conversation.failReply(detail);
    } else if (request && conversation.refuse(detail)) {
      // Told at the message.
    } else if (waitsForReply) {
      return; // it goes on by itself
    } else if (request && isHere) {
      room.showError(error, { onRetry: request === "resume" && (() => retryResume(session_id)) }, { retryAt });
    } else if (!retryAt) {
      tellElsewhere(detail, isHere);
    }
    if (isHere && waitsForReply) announce(strings.states[request === "user_message" ? "queued" : "askedLater"]);
    else if (isHere) announceError(detail, repeatedAt);
  });

  listen("ack", ({ request, session_id }) => {
    if (request === "model_select" && room.isHere(session_id)) models.confirm();
  });

  listen("typing", ({ session_id }) => room.isHere(session_id) && typing.show());

  listen("resumed", ({ session_id, recovered }) => {
    if (!room.isHere(session_id) || !room.current.isLoaded) return; // all of it is on its way
    log.showNotice();
    if (!recovered) room.open(session_id, { isNewEntry: false });
  });

  listen("notification", ({ session_id, content, timestamp, metadata = {} }) => {
    if (metadata.event === "session_updated") {
      const { title, model_id } = metadata;
      if (title) sessions.update(session_id, { title });
      room.takeChange({ session_id, title, model_id });
    } else if (metadata.event === "session_ended") {
      sessions.update(session_id, { ended_at: timestamp });
      room.takeChange({ session_id, ended_at: timestamp });
    } else if (metadata.event === "session_deleted") {
      const title = sessions.titleOf(session_id) ?? strings.unknownTitle;
      sessions.remove(session_id);
      room.takeDeletion(session_id, { title, isElsewhere: !sessions.isDeleting(session_id) });
    } else if (metadata.event === "session_active") {
      sessions.touch(session_id, timestamp);
      if (metadata.others) sessions.refreshSoon();
    } else if (content) {
      notices.tell(content);
      announce(content);
    }
  });

  /** Another conversation in which no answer is written any more: nobody needs to follow it. @returns {boolean} */
  function leaveIfOver(session_id) {
    if (room.isHere(session_id) || activity.isWriting(session_id)) return false;
    client.unfollow(session_id);
    return true;
  }

  /** An answer is over, here or in another conversation. */
  function takeEnd({ session_id, reply_id, state }) {
    activity.noteEnd({ session_id, reply_id, state });
    if (!leaveIfOver(session_id)) return;
    const tell = state === "failed" ? strings.announceFailedElsewhere : strings.announceElsewhere;
    announce(tell(sessions.titleOf(session_id) ?? strings.unknownTitle));
  }

  /** What the card says, in one sentence after the other. */
  function announceError({ error, request, reply_id }, repeatedAt) {
    const outcome = (reply_id || request === "user_message") && strings.outcomes[error.outcome];
    const seconds = repeatedAt && Math.ceil((repeatedAt - Date.now()) / 1_000);
    announce(strings.announceError(error.message, outcome, seconds));
  }

  /** An error that nothing on the page belongs to. */
  function tellElsewhere({ error, request, session_id }, isHere) {
    if (!request) line.noteError(error); // a close may follow; then the line tells it
    if (error.category === "auth") return;
    const title = !isHere && sessions.titleOf(session_id);
    const onClick = (event) => {
      event.preventDefault();
      room.open(session_id);
    };
    const place = title && h("a", { href: address.urlOf(session_id), on: { click: onClick } }, strings.inConversation(title));
    notices.tellError(error, { place, outcome: request === "user_message" && strings.outcomes[error.outcome] });
    if (!isHere) announceError({ error, request });
  }

  function retryResume(sessionId) {
    log.showNotice();
    client.resume(sessionId);
  }
}
