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
    log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    const observer = new ResizeObserver(() => this.#isFollowing && this.scrollToEnd());
    for (const element of [log, this.list, this.#notice]) observer.observe(element);
  }

  scrollToEnd() {
    this.#isFollowing = true;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#jump.hidden = true;
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
    this.#top.replaceChildren(...(earlier ? [earlier] : []));
  }

  /** Something about the whole conversation, below its last message. */
  showNotice(element = null) {
    this.#notice.replaceChildren(...(element ? [element] : []));
  }

  /** Change what is above the reader's place without moving it. */
  keepPlace(change) {
    const fromEnd = this.#log.scrollHeight - this.#log.scrollTop;
    change();
    this.#log.scrollTop = this.#log.scrollHeight - fromEnd;
  }

  #onScroll() {
    const left = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight;
    // Text that grows moves the end away without anybody scrolling: only the way up means reading elsewhere.
    if (left < NEAR_END_PX) this.#isFollowing = true;
    else if (this.#log.scrollTop < this.#lastTop) this.#isFollowing = false;
    this.#lastTop = this.#log.scrollTop;
    this.#jump.hidden = this.#isFollowing || !this.list.hasChildNodes();
  }
}
