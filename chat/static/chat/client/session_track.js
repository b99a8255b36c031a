/**
 * What this client has seen of one session: which sequence numbers, and which replies are still being written.
 *
 * @typedef {object} OpenReply
 * @property {string} reply_id
 * @property {string} in_reply_to message id of the user message it answers
 * @property {string} [continues] reply id of the one from whose text it goes on
 * @property {"pending"|"streaming"} state
 * @property {ReplyText} text
 * @property {number} heardAt time of the last frame about it
 */

import { ReplyText } from "./reply_text.js";

const REMEMBERED = 200; // endings and questions; late frames come within seconds, this is minutes of talk

export class SessionTrack {
  /** @type {Map<string, OpenReply>} */
  open = new Map();
  /** ref of the `resume` under way */
  resuming = null;
  /** timer of the next one, when something is known to be missing */
  healing = null;
  /** how often the answer to it was not whole, one time after the other */
  doubts = 0;
  /** time of the last one */
  resumedAt = -Infinity;
  #ended = new Map(); // reply_id -> true
  #known = new Map(); // reply_id -> true: its question told how it ended, before anything else of it was heard
  #questions = new Map(); // message_id -> seq of user messages
  #ahead = new Set(); // seen beyond a gap

  constructor(sessionId, lastSeq = 0) {
    this.sessionId = sessionId;
    /** Everything up to here was seen. */
    this.lastSeq = lastSeq;
  }

  get hasGap() {
    return this.#ahead.size > 0;
  }

  isSeen(seq) {
    return seq <= this.lastSeq || this.#ahead.has(seq);
  }

  /** Whether everything after `from`, up to `to`, was seen. */
  isSeenAll(from, to) {
    for (let seq = from + 1; seq <= to; seq += 1) if (!this.isSeen(seq)) return false;
    return true;
  }

  /** Note a sequence number; false if it was seen before. */
  see(seq) {
    if (this.isSeen(seq)) return false;
    this.#ahead.add(seq);
    this.#advance();
    return true;
  }

  /** The server says that it has sent everything up to here. */
  settle(seq) {
    this.lastSeq = Math.max(this.lastSeq, seq);
    for (const seen of this.#ahead) if (seen <= this.lastSeq) this.#ahead.delete(seen);
    this.#advance();
  }

  /**
   * From where to ask again: what is missing, and also every question whose reply is open here -- the reply may have
   * failed meanwhile, and a failure without text has no sequence number of its own.
   */
  get resumeFrom() {
    const questions = [...this.open.values()].map((reply) => this.#questions.get(reply.in_reply_to));
    return Math.min(this.lastSeq, ...questions.filter((seq) => seq > 0).map((seq) => seq - 1));
  }

  isEnded(replyId) {
    return this.#ended.has(replyId);
  }

  know(replyId) {
    remember(this.#known, replyId, true);
  }

  isKnown(replyId) {
    return this.#known.has(replyId);
  }

  /** Note where a user message stands. */
  noteQuestion(messageId, seq) {
    remember(this.#questions, messageId, seq);
  }

  hasQuestion(messageId) {
    return this.#questions.has(messageId);
  }

  /**
   * The open reply a frame belongs to; opened if it is new, null if it has ended.
   *
   * @returns {OpenReply|null}
   */
  reply({ reply_id, in_reply_to, continues }, now) {
    if (this.#ended.has(reply_id)) return null;
    if (!this.open.has(reply_id)) {
      this.open.set(reply_id, { reply_id, in_reply_to, state: "pending", text: new ReplyText() });
    }
    const reply = this.open.get(reply_id);
    if (continues) reply.continues = continues;
    reply.heardAt = now;
    return reply;
  }

  /** Whether nothing was heard of an open reply since that time: its end may have been lost. */
  hasSilentReply(since) {
    return [...this.open.values()].some(({ heardAt }) => heardAt < since);
  }

  /** A reply ends once; false if it had ended already. */
  end(replyId) {
    if (this.#ended.has(replyId)) return false;
    this.open.delete(replyId);
    remember(this.#ended, replyId, true);
    return true;
  }

  #advance() {
    while (this.#ahead.delete(this.lastSeq + 1)) this.lastSeq += 1;
  }
}

/** Set an entry and forget the oldest one when there are too many. */
function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}
