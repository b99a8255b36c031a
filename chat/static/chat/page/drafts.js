/** What was typed and not sent, one draft for each conversation; kept over a reload in the person's own browser. */

const NEW = "new"; // of the conversation that has no session yet
const DRAFTS_MAX = 50; // the oldest ones are forgotten

export class Drafts {
  #storage;
  #key;

  /**
   * @param {Storage|undefined} storage
   * @param {string} userId what one person typed is not shown to another
   */
  constructor(storage, userId) {
    this.#storage = storage;
    this.#key = `switchboard.drafts.${userId}`;
  }

  get(sessionId) {
    return this.#load()[sessionId ?? NEW] ?? "";
  }

  /** An empty text removes the draft. */
  set(sessionId, text) {
    const { [sessionId ?? NEW]: _, ...others } = this.#load();
    this.#save(text ? { ...others, [sessionId ?? NEW]: text } : others);
  }

  /** The conversation has got its session. */
  adopt(sessionId) {
    this.set(sessionId, this.get(null));
    this.set(null, "");
  }

  forgetAll() {
    this.#save({});
  }

  #load() {
    try {
      const drafts = JSON.parse(this.#storage?.getItem(this.#key) ?? "{}");
      return drafts && typeof drafts === "object" ? drafts : {};
    } catch {
      return {};
    }
  }

  #save(drafts) {
    const newest = Object.entries(drafts).slice(-DRAFTS_MAX);
    try {
      if (newest.length) this.#storage?.setItem(this.#key, JSON.stringify(Object.fromEntries(newest)));
      else this.#storage?.removeItem(this.#key);
    } catch {
      // Full or forbidden storage: the text is still in the box.
    }
  }
}
