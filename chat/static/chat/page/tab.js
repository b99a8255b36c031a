/**
 * This tab among the person's others: its name, and the messages that it leaves to them.
 *
 * What is not sent yet is kept for one tab (`sessionStorage`) and would go with it. So a page that is left puts a copy
 * where the next page of the person finds it, and takes it back when it was only reloaded. Where both send a message,
 * it is stored once: it has one ref.
 */

const NAME_KEY = "switchboard.tab";

export class Tab {
  /** Kept over a reload; null where nothing can be kept. */
  name = null;
  #session;
  #local;
  #outboxKey;
  #leftKey;

  /**
   * @param {object} options
   * @param {Storage|undefined} options.session of this tab
   * @param {Storage|undefined} options.local of all of them
   * @param {string} options.outboxKey where the client keeps what is not sent, see `client/outbox.js`
   * @param {string} options.userId what one person typed must not be sent for another
   */
  constructor({ session, local, outboxKey, userId }) {
    this.#session = session;
    this.#local = local;
    this.#outboxKey = outboxKey;
    this.#leftKey = `switchboard.left.${userId}`;
    try {
      const name = session.getItem(NAME_KEY) ?? Math.random().toString(36).slice(2);
      session.setItem(NAME_KEY, name);
      this.name = name;
    } catch {
      // Full, forbidden or no storage.
    }
  }

  /** Add to what is not sent what tabs have left that are gone; before a client reads it. */
  takeLeft() {
    const left = Object.values(this.#left).flat();
    if (left.length === 0) return;
    const own = read(this.#session, this.#outboxKey) ?? [];
    const others = new Map(left.map((item) => [item.ref, item]));
    for (const { ref } of own) others.delete(ref);
    try {
      this.#session.setItem(this.#outboxKey, JSON.stringify([...own, ...others.values()]));
    } catch {
      return; // left for another one
    }
    this.#putLeft({});
  }

  /** The page is left, perhaps for good. */
  leave() {
    const items = read(this.#session, this.#outboxKey);
    if (this.name && items) this.#putLeft({ ...this.#left, [this.name]: items });
  }

  /** The page was only put aside by the browser, and is shown again. */
  comeBack() {
    const { [this.name]: own, ...others } = this.#left;
    if (own) this.#putLeft(others);
  }

  /** The person has signed out: nothing is kept for anybody. */
  forgetAll() {
    for (const key of [this.#outboxKey, NAME_KEY]) this.#session?.removeItem(key);
    this.#local?.removeItem(this.#leftKey);
  }

  /** Tab name -> messages. */
  get #left() {
    return read(this.#local, this.#leftKey) ?? {};
  }

  #putLeft(left) {
    try {
      if (Object.keys(left).length) this.#local.setItem(this.#leftKey, JSON.stringify(left));
      else this.#local.removeItem(this.#leftKey);
    } catch {
      // No room: they are still where they were.
    }
  }
}

function read(storage, key) {
  try {
    return JSON.parse(storage?.getItem(key) ?? null);
  } catch {
    return null;
  }
}
