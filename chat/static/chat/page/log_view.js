/** The scrolling log around a conversation: follows the newest text unless the person reads further up. */

import { button, h, icon } from "./dom.js";
import { strings } from "./strings.js";

const NEAR_END_PX = 80; // closer than this to the end, the person is taken to be reading along

export class LogView {
  /** Where the exchanges go. */
  list = h("div", { class: "log-list" });
  #log;
  #jump;
  #top = h("div", { class: "log-top" });
  #welcome = h("div", { class: "welcome", hidden: true });
  #notice = h("div", { class: "log-notice" });
  #isFollowing = true;
  #lastTop = 0;
  #lastHeight = 0;

  /**
   * @param {HTMLElement} log the scrolling element
   * @param {HTMLButtonElement} jump
   */
  constructor(log, jump) {
    this.#log = log;
    this.#jump = jump;
    jump.append(icon("down"), strings.latest);
    jump.addEventListener("click", () => this.scrollToEnd());
    log.replaceChildren(this.#top, this.#welcome, this.list, this.#notice);
    log.addEventListener("blur", () => log.classList.remove("is-given-focus"));
    log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    const observer = new ResizeObserver(() => this.#isFollowing && this.scrollToEnd());
    for (const element of [log, this.list, this.#notice]) observer.observe(element);
  }

  /** Given to it, not asked for: it has no outline then, which would be that of all that is read. */
  focus() {
    this.#log.classList.add("is-given-focus");
    this.#log.focus({ preventScroll: true });
  }

  scrollToEnd() {
    this.#isFollowing = true;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#showJump(false);
  }

  /** What is shown instead of messages, or beside them: nothing, or elements. */
  showWelcome(...children) {
    this.#welcome.hidden = children.length === 0;
    this.#welcome.replaceChildren(...children);
  }

  showLoading(isLoading) {
    this.#log.setAttribute("aria-busy", String(isLoading));
    this.#top.replaceChildren(...(isLoading ? [h("p", { class: "log-loading" }, strings.loading)] : []));
  }

  /** Offer to load what came before the first message shown; null: there is nothing. */
  offerEarlier(load) {
    const earlier = load && button({ text: strings.showEarlier, className: "button quiet", onClick: () => load() });
    this.#top.replaceChildren(...(earlier ? [earlier, h("p", { class: "print-only" }, strings.earlierUnprinted)] : []));
  }

  /** Something about the whole conversation, below its last message. */
  showNotice(element = null) {
    this.#notice.replaceChildren(...(element ? [element] : []));
  }

  /** Change what is above the reader's place without moving it. */
  keepPlace(change) {
    const fromEnd = this.#log.scrollHeight - this.#log.scrollTop;
    const hadFocus = this.#top.contains(document.activeElement);
    change();
    this.#log.scrollTop = this.#log.scrollHeight - fromEnd;
    if (hadFocus) this.list.firstElementChild?.focus({ preventScroll: true }); // the button that asked for more is gone
  }

  #onScroll() {
    const { clientHeight, scrollHeight, scrollTop } = this.#log;
    const left = scrollHeight - scrollTop - clientHeight;
    // Text that grows moves the end away without anybody scrolling, and so does a message box that grows: only the way
    // up in a log of the same height means reading elsewhere.
    if (left < NEAR_END_PX) this.#isFollowing = true;
    else if (scrollTop < this.#lastTop && clientHeight === this.#lastHeight) this.#isFollowing = false;
    this.#lastTop = scrollTop;
    this.#lastHeight = clientHeight;
    this.#showJump(!this.#isFollowing && this.list.hasChildNodes());
  }

  #showJump(isShown) {
    if (!isShown && document.activeElement === this.#jump) this.focus();
    this.#jump.hidden = !isShown;
  }
}
