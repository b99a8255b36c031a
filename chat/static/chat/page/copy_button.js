/** A button that copies a text, and says so. */

import { button, h, icon } from "./dom.js";
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
  let timer = null;

  async function run() {
    // Screen readers hear what is put into a region that is there already.
    const said = h("span", { class: "visually-hidden", role: "status" });
    copy.after(said);
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      said.remove();
      getSelection().selectAllChildren(element);
      return;
    }
    said.textContent = strings.copied;
    showIcon("saved");
    clearTimeout(timer);
    timer = setTimeout(() => showIcon("copy"), SAID_MS);
    setTimeout(() => said.remove(), SAID_MS);
  }

  /** In its place: nothing moves away from the pointer. */
  function showIcon(name) {
    copy.firstChild.replaceWith(icon(name));
  }

  return copy;
}
