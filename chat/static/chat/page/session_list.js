/** The person's conversations, newest activity first, page by page. Each is a link, so it also opens in a tab. */

import { button, h } from "./dom.js";
import { errorCard } from "./error_card.js";
import { fullTime, shortTime, strings } from "./strings.js";

const REFRESH_MS = 1_000; // several events in a row ask for one refresh

export class SessionList {
  #element;
  #api;
  #actions;
  #sessions = [];
  #next = null;
  #current = null;
  #refreshTimer = null;

  /**
   * @param {HTMLElement} element
   * @param {import("./api.js").Api} api
   * @param {object} actions
   * @param {(sessionId: string) => string} actions.urlOf
   * @param {(sessionId: string) => void} actions.open
   * @param {(error: import("./api.js").ApiError) => void} actions.onError
   */
  constructor(element, api, actions) {
    this.#element = element;
    this.#api = api;
    this.#actions = actions;
  }

  async load() {
    await this.#fetch({ limit: Math.max(30, this.#sessions.length) }, (page) => (this.#sessions = page.sessions));
  }

  /** Something has happened to the list: load it again soon. */
  refreshSoon() {
    this.#refreshTimer ??= setTimeout(() => {
      this.#refreshTimer = null;
      this.load();
    }, REFRESH_MS);
  }

  /** Something was said in a session: it is the newest now. */
  touch(sessionId, timestamp) {
    const session = this.#sessions.find((other) => other.session_id === sessionId);
    if (!session) {
      this.refreshSoon();
      return;
    }
    session.last_activity_at = timestamp;
    this.#sessions = [session, ...this.#sessions.filter((other) => other !== session)];
    this.#render();
  }

  setCurrent(sessionId) {
    this.#current = sessionId;
    this.#render();
  }

  setTitle(sessionId, title) {
    const session = this.#sessions.find((other) => other.session_id === sessionId);
    if (!session) {
      this.refreshSoon();
      return;
    }
    session.title = title;
    this.#render();
  }

  async #fetch(parameters, take) {
    try {
      const page = await this.#api.sessions(parameters);
      take(page);
      this.#next = page.has_more ? page.next : null;
      this.#render();
    } catch (failure) {
      if (failure.status === 401) this.#actions.onError(failure);
      else this.#showFailure(failure.error);
    }
  }

  async #loadMore() {
    const known = new Set(this.#sessions.map((session) => session.session_id));
    await this.#fetch({ limit: 30, cursor: this.#next }, (page) => {
      this.#sessions.push(...page.sessions.filter((session) => !known.has(session.session_id)));
    });
  }

  #showFailure(error) {
    if (!error || this.#sessions.length) return; // what is there is better than nothing
    this.#element.replaceChildren(errorCard(error, { onRetry: () => this.load() }, { tellsOutcome: false }));
  }

  #render() {
    const focused = document.activeElement?.dataset?.sessionId;
    const items = this.#sessions.map((session) => h("li", {}, this.#link(session)));
    const onClick = () => this.#loadMore();
    const more = this.#next && button({ text: strings.showMore, className: "button quiet", onClick });
    const empty = h("p", { class: "session-list-empty" }, strings.noConversations);
    this.#element.replaceChildren(...[items.length ? h("ul", {}, ...items) : empty, more].filter(Boolean));
    if (focused) this.#element.querySelector(`[data-session-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #link({ session_id, title, last_activity_at, ended_at }) {
    const isCurrent = session_id === this.#current;
    const moment = { datetime: last_activity_at, title: fullTime(last_activity_at) };
    const attributes = {
      class: "session-link",
      href: this.#actions.urlOf(session_id),
      "aria-current": isCurrent && "page",
      "data-session-id": session_id,
      on: { click: (event) => this.#open(event, session_id) },
    };
    const time = h("time", moment, shortTime(last_activity_at));
    const facts = h("span", { class: "session-facts" }, time, ended_at && h("span", {}, strings.endedMark));
    return h("a", attributes, h("span", { class: "session-title", dir: "auto" }, title || strings.untitled), facts);
  }

  #open(event, sessionId) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return; // a new tab is the browser's business
    event.preventDefault();
    this.#actions.open(sessionId);
  }
}
