/**
 * What has no place in the conversation: a failure that nothing shown belongs to, or of another conversation, and what
 * the service has to say. Quiet, above the message box, and there until the person puts it away.
 */

import { button, h, icon } from "./dom.js";
import { helpLink, referenceLine } from "./error_card.js";
import { strings } from "./strings.js";

const SHOWN_MAX = 3; // the oldest one makes room

export class Notices {
  #element;
  #onClosed;
  #shown = []; // {key, count, reference, isPassing, element}

  /**
   * @param {HTMLElement} element
   * @param {() => void} onClosed the focus was in a notice that is gone
   */
  constructor(element, onClosed) {
    this.#element = element;
    this.#onClosed = onClosed;
    element.hidden = true;
  }

  /** @param {string} words @param {object} [about] whether it is only of use in the conversation that is open now */
  tell(words, { isPassing = false } = {}) {
    this.#show({ key: words, isPassing }, h("p", {}, words));
  }

  /** Another conversation is opened. */
  leave() {
    for (const notice of this.#shown) if (notice.isPassing) this.#remove(notice);
  }

  /**
   * @param {object} error as in an `error` frame
   * @param {object} [about]
   * @param {Node} [about.place] a link to the conversation it happened in
   * @param {string} [about.outcome] what became of the message
   */
  tellError(error, { place, outcome } = {}) {
    const key = [error.code, place?.textContent].join();
    const { reference } = error;
    const count = 1 + (this.#shown.find((notice) => notice.key === key)?.count ?? 0);
    this.#show(
      { key, count, reference, iconName: "failed" },
      h("p", {}, place, place && " ", error.message, outcome && ` ${outcome}`, count > 1 && ` ${strings.times(count)}`),
      h("div", { class: "notice-facts" }, reference && referenceLine(reference), helpLink(error)),
    );
  }

  /** The failure with this reference is told elsewhere now. */
  withdraw(reference) {
    for (const notice of this.#shown) if (notice.reference === reference) this.#remove(notice);
  }

  #show({ iconName = "note", ...notice }, ...children) {
    for (const same of this.#shown.filter(({ key }) => key === notice.key)) this.#remove(same);
    const close = { label: strings.dismiss, iconName: "close", className: "icon-button small" };
    const dismiss = button({ ...close, onClick: () => this.#remove(notice, { keepsFocus: true }) });
    const words = h("div", { class: "notice-words" }, ...children);
    const className = iconName === "failed" ? "notice is-error" : "notice";
    notice.element = h("div", { class: className }, icon(iconName), words, dismiss);
    this.#element.append(notice.element);
    this.#element.hidden = false;
    this.#shown.push(notice);
    if (this.#shown.length > SHOWN_MAX) this.#remove(this.#shown[0]);
  }

  #remove(notice, { keepsFocus = false } = {}) {
    notice.element.remove();
    this.#shown = this.#shown.filter((other) => other !== notice);
    this.#element.hidden = this.#shown.length === 0;
    if (keepsFocus) this.#onClosed();
  }
}
