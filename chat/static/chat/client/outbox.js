/**
 * The person's messages on their way: kept until the server says it has them, sent again under the same `ref`.
 *
 * One conversation sends one message at a time, so the order typed is the order stored. What waits survives a reload
 * through a storage with the interface of `sessionStorage`; without one, or when it is full, it lives in memory.
 *
 * @typedef {object} Item
 * @property {string} ref key of the message; the server stores one message per ref, however often it comes
 * @property {string|null} session_id
 * @property {string} opener ref of the message that opens the conversation, while it has no session id
 * @property {string} content
 * @property {string} [model_id]
 * @property {string} created_at RFC 3339, this device's clock
 * @property {object} [error] why it was refused; a refused message waits for the person, not for the network
 * @property {number} [unanswered] how often it was sent without an answer: each of these may have stored it
 */

const WAITING = { sentAt: null, tries: 0, notBefore: 0 };

export class Outbox {
  #items;
  #sending = new Map(); // ref -> {sentAt, tries, notBefore, retryAt?, error?}; not stored: after a reload all is unsent
  #storage;
  #key;

  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
    this.#items = this.#load();
  }

  /** @param {Item} item */
  add(item) {
    this.#items.push(item);
    this.#save();
  }

  /** @returns {Item|undefined} */
  get(ref) {
    return this.#items.find((item) => item.ref === ref);
  }

  /**
   * Messages of one conversation that the server does not have yet, oldest first. What waits for its time has the
   * `error` that it waits for, and `retryAt` (epoch ms); or `waitsForReply`, whose time nobody knows.
   */
  of(conversation) {
    return this.#storedOf(conversation).map((item) => this.#told(item));
  }

  /** Of each conversation of which the server has no message yet the first message, oldest first; told as in `of`. */
  get unopened() {
    const waiting = this.#items.filter((item) => !item.session_id);
    const isFirst = (item, index) => waiting.findIndex(({ opener }) => opener === item.opener) === index;
    return waiting.filter(isFirst).map((item) => this.#told(item));
  }

  /** What may be sent now: of each conversation the first message, unless it is on its way or waits for its time. */
  ready(now) {
    const busy = new Set();
    return this.#items.filter((item) => {
      const conversation = conversationOf(item);
      if (busy.has(conversation)) return false;
      if (item.error) {
        // It may have opened a session or not: what follows it would open another one.
        if (item.error.outcome === "unknown" && !item.session_id) busy.add(conversation);
        return false;
      }
      busy.add(conversation);
      const { sentAt, notBefore } = this.#progress(item.ref);
      return sentAt === null && notBefore <= now;
    });
  }

  markSent(ref, now) {
    const item = this.get(ref);
    item.unanswered = (item.unanswered ?? 0) + 1;
    this.#save();
    this.#sending.set(ref, { ...this.#progress(ref), sentAt: now });
  }

  /** What a refusal means for the message. @returns {object} the error, with the outcome that is true */
  weigh(ref, error) {
    const item = this.get(ref);
    if (error.outcome !== "unknown") item.unanswered = Math.max(0, (item.unanswered ?? 0) - 1);
    return weighed(item, error);
  }

  /** The server refused it for a while, and will be asked again at `notBefore`; `Infinity`: until it is released. */
  postpone(ref, { notBefore, retryAt, error }) {
    this.#sending.set(ref, { sentAt: null, tries: this.tries(ref) + 1, notBefore, retryAt, error });
  }

  notBefore(ref) {
    return this.#sending.get(ref)?.notBefore;
  }

  /** Its time has come, whenever that was to be. */
  release(ref) {
    const progress = this.#sending.get(ref);
    if (progress) this.#sending.set(ref, { ...progress, notBefore: 0 });
  }

  /** What waits for its time waits for the person instead. @returns {boolean} whether it was not on its way again */
  hold(ref) {
    const { sentAt, error } = this.#progress(ref);
    if (sentAt !== null || !error) return false;
    this.refuse(ref, weighed(this.get(ref), error));
    return true;
  }

  /** How often the server's refusal was already answered by sending again. */
  tries(ref) {
    return this.#progress(ref).tries;
  }

  /** Nothing is on its way any more, or not what was sent before this time: it will be sent again. */
  forgetSent(before = Infinity) {
    for (const [ref, progress] of this.#sending) {
      if (progress.sentAt !== null && progress.sentAt < before) this.#sending.set(ref, { ...progress, sentAt: null });
    }
  }

  /** The server refused it for good; the person decides. */
  refuse(ref, error) {
    this.#sending.delete(ref);
    this.get(ref).error = error;
    this.#save();
  }

  /** Send a refused message once more. */
  revive(ref) {
    const item = this.get(ref);
    if (!item) return false;
    delete item.error;
    this.#sending.delete(ref);
    this.#save();
    return true;
  }

  /**
   * Take out a message: the server has it (then the rest of its conversation learns the session id), or it is given up.
   *
   * @returns {Item|undefined} the message, unless it had been taken out before
   */
  take(ref, sessionId = null) {
    const item = this.get(ref);
    if (!item) return undefined;
    this.#items = this.#items.filter((other) => other !== item);
    this.#sending.delete(ref);
    if (sessionId && !item.session_id) {
      for (const other of this.#storedOf(item.opener)) other.session_id = sessionId;
    }
    this.#save();
    return item;
  }

  #storedOf(conversation) {
    return this.#items.filter((item) => conversationOf(item) === conversation);
  }

  #told(item) {
    const { sentAt, retryAt, error } = this.#progress(item.ref);
    if (sentAt !== null || !error) return item;
    const until = error.waits_for === "reply" ? { waitsForReply: true } : { retryAt };
    return { ...item, error: weighed(item, error), ...until };
  }

  #progress(ref) {
    return this.#sending.get(ref) ?? WAITING;
  }

  #load() {
    try {
      const items = JSON.parse(this.#storage?.getItem(this.#key) ?? "[]");
      return Array.isArray(items) ? items.filter((item) => typeof item?.ref === "string") : [];
    } catch {
      return [];
    }
  }

  #save() {
    try {
      if (this.#items.length) this.#storage?.setItem(this.#key, JSON.stringify(this.#items));
      else this.#storage?.removeItem(this.#key);
    } catch {
      // Full or forbidden storage: the messages still live in memory for as long as the page does.
    }
  }
}

/** "rejected" is about one sending: another one that was not answered, before it or since, may have stored the message. */
function weighed(item, error) {
  const isInDoubt = item.unanswered > 0 && error.outcome === "rejected" && error.actions?.includes("retry");
  return isInDoubt ? { ...error, outcome: "unknown" } : error;
}

/** The session, or for a new conversation the message that opens it. */
function conversationOf(item) {
  return item.session_id ?? item.opener;
}
