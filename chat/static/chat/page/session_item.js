/** One conversation in the list: a link, a menu button, and the field in its place while it is renamed. */

import { button, h } from "./dom.js";
import { fullTime, shortTime, strings } from "./strings.js";

export const TITLE_MAX = 80; // characters, as the server counts them

export class SessionItem {
  #title = h("span", { class: "session-title", dir: "auto" });
  #time = h("time", {});
  #ended = h("span", { class: "session-ended" }, strings.endedMark);
  #mark = h("span", { class: "session-mark" });
  #actions;
  #link;
  #menu;
  #form = null;

  /**
   * @param {object} session as the API returns it
   * @param {object} actions
   * @param {(sessionId: string) => string} actions.urlOf
   * @param {(sessionId: string) => string|null} actions.markOf what goes on in it: a key of `strings.marks`
   * @param {(sessionId: string) => void} actions.open
   * @param {(item: SessionItem, button: HTMLElement) => void} actions.showMenu
   * @param {(sessionId: string, title: string) => Promise<void>} actions.rename
   */
  constructor(session, actions) {
    this.id = session.session_id;
    this.#actions = actions;
    const attributes = { class: "session-link", href: actions.urlOf(this.id), "data-session-id": this.id };
    const onClick = (event) => this.#open(event);
    const facts = h("span", { class: "session-facts" }, this.#time, this.#ended, this.#mark);
    this.#link = h("a", { ...attributes, on: { click: onClick } }, this.#title, facts);
    this.#menu = button({
      label: strings.moreAbout(""),
      iconName: "more",
      className: "icon-button small session-more",
      onClick: () => actions.showMenu(this, this.#menu),
    });
    this.element = h("li", { class: "session-item" }, this.#link, this.#menu);
    this.show(session);
  }

  get title() {
    return this.session.title || strings.untitled;
  }

  show(session) {
    this.session = session;
    this.#title.textContent = this.title;
    this.#time.dateTime = session.last_activity_at;
    this.#time.title = fullTime(session.last_activity_at);
    this.#time.textContent = shortTime(session.last_activity_at);
    this.#ended.hidden = !session.ended_at;
    this.#menu.setAttribute("aria-label", strings.moreAbout(this.title));
    this.#menu.title = strings.more;
    this.showMark();
  }

  showMark() {
    const mark = this.#actions.markOf(this.id);
    this.#mark.hidden = !mark;
    this.#mark.textContent = strings.marks[mark] ?? "";
    this.element.dataset.mark = mark ?? "";
  }

  set isCurrent(isCurrent) {
    if (isCurrent) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }

  focus() {
    (this.#form?.elements.title ?? this.#link).focus();
  }

  /** Let the person type another title in the place of this one: Enter keeps it, Escape does not. */
  edit() {
    if (this.#form) return;
    const input = h("input", { name: "title", class: "session-rename", "aria-label": strings.renameLabel, dir: "auto" });
    input.value = this.session.title;
    input.maxLength = TITLE_MAX;
    this.#form = h("form", {}, input);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#finish(input.value, { keepsFocus: true });
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#finish("", { keepsFocus: true });
    });
    input.addEventListener("blur", () => this.element.isConnected && !this.isMoved && this.#finish(input.value));
    this.element.replaceChildren(this.#form);
    input.select();
    input.focus();
  }

  #finish(text, { keepsFocus = false } = {}) {
    if (!this.#form) return;
    this.#form = null;
    this.element.replaceChildren(this.#link, this.#menu);
    if (keepsFocus) this.#menu.focus();
    const title = text.replace(/\s+/g, " ").trim();
    if (title && title !== this.session.title) this.#actions.rename(this.id, title);
  }

  #open(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return; // a new tab is the browser's business
    event.preventDefault();
    this.#actions.open(this.id);
  }
}
