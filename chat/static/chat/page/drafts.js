/**
 * What was typed and not sent, one draft for each conversation; kept over a reload in the person's own browser.
 *
 * A conversation is named by its session id, or until it has one, by the ref that opens it; null: nothing is said in it.
 */

const NEW = "new";
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

  get(name) {
    return this.#load()[name ?? NEW] ?? "";
  }

  /** An empty text removes the draft. */
  set(name, text) {
    const { [name ?? NEW]: _, ...others } = this.#load();
    this.#save(text ? { ...others, [name ?? NEW]: text } : others);
  }

  /** The conversation has got another name, or is gone: its draft goes before what is typed under the other one. */
  move(from, to) {
    this.set(to, [this.get(from), this.get(to)].filter(Boolean).join("\n"));
    this.set(from, "");
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
