/** Failures of one question that a later try has made good: one quiet line, which opens to their references. */

import { h } from "./dom.js";
import { referenceLine } from "./error_card.js";
import { strings } from "./strings.js";

export class PastFailures {
  #words = h("summary", {});
  #lines = h("div", {});
  element = h("details", { class: "past-failures", hidden: true }, this.#words, this.#lines);
  #kinds = new Map(); // reference -> what was done about it: "sent" or "asked" again
  #shown = "";

  /** @param {object} error which is told now, and may be past later */
  note(error, { isAboutSending }) {
    const { reference } = error ?? {};
    if (reference && !this.#kinds.has(reference)) this.#kinds.set(reference, isAboutSending ? "sent" : "asked");
  }

  /**
   * @param {Array<string|undefined>} current references that are told elsewhere now
   * @param {"asked"|"answered"|"continued"} outcome what has come of asking again
   */
  show(current, outcome) {
    const past = [...this.#kinds].filter(([reference]) => !current.includes(reference));
    const isOnlySent = past.every(([, kind]) => kind === "sent");
    const words = past.length > 0 ? strings.past[isOnlySent ? "sent" : outcome](past.length) : "";
    const shown = [words, ...past.map(([reference]) => reference)].join();
    if (this.#shown === shown) return; // what has the focus keeps it
    this.#shown = shown;
    this.element.hidden = past.length === 0;
    this.#words.textContent = words;
    this.#lines.replaceChildren(...past.map(([reference]) => referenceLine(reference)));
  }
}
