/** A button that copies a text, and says so. */

import { button, h } from "./dom.js";
import { strings } from "./strings.js";

const SAID_MS = 2_000;

/**
 * @param {object} options
 * @param {string} options.label
 * @param {() => string} options.text
 * @param {Node} options.element shows the text: it is selected where the browser does not let us copy (no https)
 * @param {boolean} [options.isNamed] whether the button shows a word beside its icon
 */
export function copyButton({ label, text, element, isNamed = false }) {
  const className = isNamed ? "button quiet small copy-button" : "icon-button small";
  const copy = button({ text: isNamed && strings.copy, label, iconName: "copy", className, onClick: run });
  let note = null;

  async function run() {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      getSelection().selectAllChildren(element);
      return;
    }
    note?.remove();
    note = h("span", { class: "copied", role: "status" }, strings.copied);
    copy.before(note);
    setTimeout(() => note.remove(), SAID_MS);
  }

  return copy;
}
