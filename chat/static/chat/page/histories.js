/**
 * What was last known of the conversations that were open on this page: shown while one cannot be loaded anew.
 *
 * Begins with what the API returned and goes on with the client's events, so it knows as much as the person has seen.
 */

const KEPT_MAX = 20; // conversations; the one that was opened longest ago is forgotten

export class Histories {
  #kept = new Map(); // session id -> {session, messages: Map of message id -> message, has_more}

  /** @param {object} history as the API returns it: {session, messages, has_more} */
  keep({ session, messages, has_more }) {
    this.#kept.delete(session.session_id);
    const byId = new Map(messages.map((message) => [message.message_id, message]));
    this.#kept.set(session.session_id, { session, messages: byId, has_more });
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value);
  }

  /** A message of a conversation, as the client tells it. */
  note(message) {
    const messages = this.#kept.get(message.session_id)?.messages;
    if (!messages) return;
    messages.set(message.message_id, message);
    if (message.sender !== "user" && message.reply) setReply(messages, message.in_reply_to, message.reply);
  }

  /** An answer ended without a message of its own, which is told at the question it belongs to. */
  noteEnd({ session_id, message_id, reply_id, state, error, text, continues }) {
    const messages = this.#kept.get(session_id)?.messages;
    if (messages) setReply(messages, message_id, { reply_id, state, error, text, ...(continues && { continues }) });
  }

  /** @returns {object|null} {session, messages in their order, has_more}; null of a conversation that is not kept */
  get(sessionId) {
    const kept = this.#kept.get(sessionId);
    return kept ? { ...kept, messages: [...kept.messages.values()].sort((a, b) => a.seq - b.seq) } : null;
  }

  forget(sessionId) {
    this.#kept.delete(sessionId);
  }
}

/** Another reply says how the question stands. One before it that left a text stays, as a message of its own. */
function setReply(messages, questionId, reply) {
  const question = messages.get(questionId);
  if (!question) return;
  const { reply: before, session_id, seq } = question;
  messages.set(questionId, { ...question, reply });
  if (!before?.text || before.reply_id === reply.reply_id) return;
  const { text, ...facts } = before;
  const id = before.reply_id;
  const place = { message_id: id, in_reply_to: questionId, seq: seq + 0.5 }; // after the question, before what came later
  messages.set(id, { session_id, sender: "ai", content: text, ...place, reply: facts });
}
