/**
 * Where an answer is being written, and where one has come that the person has not seen yet.
 *
 * Knows what the client tells, that is the sessions that this tab follows.
 */

const RUNNING = new Set(["pending", "streaming"]);

export class Activity {
  #writing = new Map(); // reply id -> session id
  #unread = new Map(); // session id -> "unread", or "failed" if the newest answer there is one that failed
  #isSeen;
  #onChange;

  /**
   * @param {object} page
   * @param {(sessionId: string) => boolean} page.isSeen whether what comes in this session comes before the person's eyes
   * @param {(sessionId: string) => void} page.onChange another mark belongs to this session now
   */
  constructor({ isSeen, onChange }) {
    this.#isSeen = isSeen;
    this.#onChange = onChange;
  }

  /** How many conversations have an answer that was not seen. */
  get unreadCount() {
    return this.#unread.size;
  }

  /** The mark that speaks for all of them. @returns {"unread"|"failed"|null} */
  get unreadMark() {
    const marks = [...this.#unread.values()];
    return marks.find((mark) => mark === "unread") ?? marks[0] ?? null;
  }

  /** @returns {"writing"|"unread"|"failed"|null} */
  markOf(sessionId) {
    if (this.isWriting(sessionId)) return "writing";
    return this.#unread.get(sessionId) ?? null;
  }

  isWriting(sessionId) {
    return this.writingIn(sessionId).length > 0;
  }

  /** @returns {string[]} the ids of the replies that are being written there */
  writingIn(sessionId) {
    return [...this.#writing].filter(([, id]) => id === sessionId).map(([replyId]) => replyId);
  }

  /** A running reply, or one that was stopped: that is no news for who stopped it. */
  noteReply({ session_id, reply_id, state }) {
    const isRunning = RUNNING.has(state);
    if (isRunning === this.#writing.has(reply_id)) return; // it has only grown
    if (isRunning) this.#writing.set(reply_id, session_id);
    else this.#writing.delete(reply_id);
    this.#onChange(session_id);
  }

  /** A reply has ended in a message, or in an error. */
  noteEnd({ session_id, reply_id, state }) {
    this.#writing.delete(reply_id);
    if (!this.#isSeen(session_id)) this.#unread.set(session_id, state === "failed" ? "failed" : "unread");
    this.#onChange(session_id);
  }

  /** The conversation is before the person's eyes. */
  see(sessionId) {
    if (this.#unread.delete(sessionId)) this.#onChange(sessionId);
  }

  /** What is being written there will be told anew. */
  forgetWriting(sessionId) {
    if (!this.isWriting(sessionId)) return;
    for (const [replyId, id] of this.#writing) if (id === sessionId) this.#writing.delete(replyId);
    this.#onChange(sessionId);
  }

  /** Nothing is known of the session any more. */
  forget(sessionId) {
    this.forgetWriting(sessionId);
    this.see(sessionId);
  }
}
