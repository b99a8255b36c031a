/** The small menu beside a conversation's name: rename, end, delete. */

import { button, h } from "./dom.js";
import { strings } from "./strings.js";

export class SessionMenu {
  #element = h("div", { class: "menu", popover: "auto", role: "group", "aria-label": strings.more });
  #button = null;

  constructor(parent) {
    parent.append(this.#element);
    this.#element.addEventListener("toggle", ({ newState }) => {
      this.#button?.setAttribute("aria-expanded", String(newState === "open"));
    });
  }

  /** @param {HTMLElement} opener @param {[string, string, () => void][]} choices words, icon, what to do */
  show(opener, choices) {
    this.#button = opener;
    const choose = (action) => () => {
      this.#element.hidePopover();
      action();
    };
    this.#element.replaceChildren(
      ...choices.map(([text, iconName, action]) =>
        button({ text, iconName, className: "menu-item", onClick: choose(action) }),
      ),
    );
    this.#element.showPopover();
    const { bottom, top, right } = opener.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#element;
    const isBelow = bottom + height + 8 < innerHeight;
    this.#element.style.top = `${isBelow ? bottom + 4 : Math.max(8, top - height - 4)}px`;
    this.#element.style.left = `${Math.max(8, Math.min(right - width, innerWidth - width - 8))}px`;
    this.#element.querySelector("button").focus();
  }
}
