/** A block of code: its language, a button that copies it, and the text, which may still grow. */

import { copyButton } from "./copy_button.js";
import { h } from "./dom.js";
import { strings } from "./strings.js";

const LINES_PER_PART = 40; // what is laid out again when a line is added
const LANGUAGE = /^[\w+#.-]{1,24}$/;

export class CodeBlock {
  #code = h("code", {});
  #text = "";
  #part = null;
  #lines = 0;

  /** @param {string} [language] as the author of the text calls it */
  constructor(language = "") {
    const name = LANGUAGE.test(language) ? language : "";
    const label = name ? strings.codeIn(name) : strings.code;
    const copy = copyButton({ label: strings.copyCode, text: () => this.#text, element: this.#code, isNamed: true });
    this.element = h(
      "div",
      { class: "code-block" },
      h("div", { class: "code-head" }, h("span", { class: "code-language" }, name || strings.code), copy),
      // Focusable, so that the keyboard can scroll it.
      h("pre", { tabindex: "0", role: "group", "aria-label": label, dir: "ltr" }, this.#code),
    );
  }

  append(text) {
    this.#text += text;
    for (const piece of text.split(/(?<=\n)/)) {
      if (!this.#part || this.#lines >= LINES_PER_PART) this.#addPart();
      this.#part.append(piece);
      if (piece.endsWith("\n")) this.#lines += 1;
    }
  }

  /** Parts are laid out each for itself, so a long text costs no more per line than a short one. */
  #addPart() {
    this.#part = h("span", { class: "code-part" });
    this.#lines = 0;
    this.#code.append(this.#part);
  }
}
