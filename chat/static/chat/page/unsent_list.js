/** Conversations that the server does not know yet, above the others: what waits to be sent is never out of sight. */

import { h, icon } from "./dom.js";
import { strings } from "./strings.js";

const TITLE_MAX = 80; // characters, as of the title that the server will make of them

export class UnsentList {
  #list;
  #open;
  #entries = new Map(); // opener -> {element, button, state}
  #current = null;

  /**
   * @param {HTMLUListElement} list
   * @param {(opener: string) => void} open
   */
  constructor(list, open) {
    this.#list = list;
    this.#open = open;
  }

  /** @param {import("../client/outbox.js").Item[]} items the first message of each of them, oldest first */
  show(items) {
    const openers = new Set(items.map(({ opener }) => opener));
    for (const [opener, { element }] of this.#entries) {
      if (openers.has(opener)) continue;
      element.remove();
      this.#entries.delete(opener);
    }
    for (const item of items) {
      const { state } = this.#entries.get(item.opener) ?? this.#add(item);
      state.textContent = wordOf(item);
    }
    this.#list.hidden = this.#entries.size === 0;
    this.#mark();
  }

  setCurrent(opener) {
    this.#current = opener;
    this.#mark();
  }

  #add({ opener, content }) {
    const title = h("span", { class: "session-title", dir: "auto" }, Array.from(content).slice(0, TITLE_MAX).join(""));
    const state = h("span", {});
    const attributes = { type: "button", class: "session-link", on: { click: () => this.#open(opener) } };
    const button = h("button", attributes, title, h("span", { class: "session-facts" }, icon("sending"), state));
    const entry = { element: h("li", { class: "session-item" }, button), button, state };
    this.#entries.set(opener, entry);
    this.#list.prepend(entry.element);
    return entry;
  }

  #mark() {
    for (const [opener, { button }] of this.#entries) {
      if (opener === this.#current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }
}

/** As at the message itself. @param {import("../client/outbox.js").Item} item */
function wordOf({ error, retryAt }) {
  if (error?.outcome === "unknown") return strings.states.unknown;
  return error && !retryAt ? strings.states.rejected : strings.notSentYet;
}
