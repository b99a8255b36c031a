/** A question that has to be answered before something is done that cannot be undone. */

import { h } from "./dom.js";
import { strings } from "./strings.js";

/**
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.text
 * @param {string} question.action what the button that does it says
 * @returns {Promise<boolean>} whether the person wants it
 */
export function confirmed({ title, text, action }) {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" });
  const choice = (words, className, value) => h("button", { class: className, value }, words);
  const choices = [choice(strings.cancel, "button", ""), choice(action, "button danger", "yes")];
  dialog.append(
    h("h2", { id: "dialog-title" }, title),
    h("p", { id: "dialog-text" }, text),
    h("form", { method: "dialog", class: "dialog-actions" }, ...choices),
  );
  document.body.append(dialog);
  dialog.showModal(); // gives the focus back when it closes
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    });
  });
}
