/**
 * What was typed and not sent, one draft for each conversation; kept over a reload in the person's own browser.
 *
 * A conversation is named by its session id, or until it has one, by the ref that opens it; null: nothing is said in it.
 * Each tab has such a new conversation of its own. What a tab leaves in it goes to the next one that has nothing there.
 */

const NEW = "new"; // where a tab has no name; so did all of them once
const LEFT = "left.";
const DRAFTS_MAX = 50; // the oldest ones are forgotten

export class Drafts {
  #storage;
  #key;
  #tab;
  #unstored = {}; // what the storage had no room for

  /**
   * @param {Storage|undefined} storage
   * @param {string} userId what one person typed is not shown to another
   * @param {string|null} [tab] name of this tab
   */
  constructor(storage, userId, tab = null) {
    this.#storage = storage;
    this.#key = `switchboard.drafts.${userId}`;
    this.#tab = tab;
  }

  get(name) {
    if (!name) this.#takeLeft();
    return this.#stored(name);
  }

  /** An empty text removes the draft. */
  set(name, text) {
    const key = this.#named(name);
    const { [key]: before = "", ...others } = this.#load();
    if (text || before) this.#save(text ? { ...others, [key]: text } : others, { [key]: text });
  }

  /** The conversation has got another name, or is gone: its draft goes before what is typed under the other one. */
  move(from, to, text = this.get(from)) {
    this.set(to, [text, this.#stored(to)].filter(Boolean).join("\n"));
    this.set(from, "");
  }

  /** The page is left, perhaps for good: what is typed in its new conversation may be found by another tab. */
  leave() {
    if (this.#tab) this.#rename(this.#named(null), LEFT + this.#tab);
  }

  /** The page was only put aside by the browser, and is shown again. */
  comeBack() {
    if (this.#tab) this.#rename(LEFT + this.#tab, this.#named(null));
  }

  forgetAll() {
    this.#unstored = {};
    this.#save({}, {});
  }

  #stored(name) {
    return this.#load()[this.#named(name)] ?? "";
  }

  #named(name) {
    return name ?? (this.#tab ? `${NEW}.${this.#tab}` : NEW);
  }

  /** Where nothing is typed: what this tab has left, or else the newest of what another one has. */
  #takeLeft() {
    const drafts = this.#load();
    if (!this.#tab || drafts[this.#named(null)]) return;
    const own = LEFT + this.#tab;
    const left = drafts[own] ? own : Object.keys(drafts).findLast((key) => key.startsWith(LEFT) || key === NEW);
    if (left) this.#rename(left, this.#named(null));
  }

  #rename(from, to) {
    const { [from]: text, [to]: _, ...others } = this.#load();
    if (text) this.#save({ ...others, [to]: text }, { [from]: "", [to]: text });
  }

  #load() {
    try {
      const drafts = JSON.parse(this.#storage?.getItem(this.#key) ?? "{}");
      return { ...drafts, ...this.#unstored };
    } catch {
      return { ...this.#unstored };
    }
  }

  /** @param {object} drafts all of them @param {object} changes those that are different now, "" for one that is gone */
  #save(drafts, changes) {
    const newest = Object.entries(drafts).filter(([, text]) => text).slice(-DRAFTS_MAX);
    try {
      if (newest.length) this.#storage.setItem(this.#key, JSON.stringify(Object.fromEntries(newest)));
      else this.#storage.removeItem(this.#key);
      this.#unstored = {};
    } catch {
      // Full, forbidden or no storage: what could not be stored lives as long as the page does.
      this.#unstored = { ...this.#unstored, ...changes };
    }
  }
}
