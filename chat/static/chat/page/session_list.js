/** The person's conversations, newest activity first, page by page. Each is a link, so it also opens in a tab. */

import { confirmed } from "./dialog.js";
import { button, h } from "./dom.js";
import { errorCard } from "./error_card.js";
import { SessionItem } from "./session_item.js";
import { SessionMenu } from "./session_menu.js";
import { readSessions } from "./session_pages.js";
import { strings } from "./strings.js";

const REFRESH_MS = 1_000; // between two refreshes: several events in a row ask for one
const GATHER_MS = 50; // what comes together is read together
const PAGE = 30;

export class SessionList {
  #list = h("ul", { hidden: true });
  #empty = h("p", { class: "session-list-empty", hidden: true }, strings.noConversations);
  #more = button({ text: strings.showMore, className: "button quiet", onClick: () => this.#loadMore() });
  #failure = h("div", {});
  #menu;
  #api;
  #actions;
  #items = new Map(); // session id -> SessionItem
  #order = []; // session ids as shown
  #next = null;
  #current = null;
  #refreshTimer = null;
  #loadedAt = 0;
  #edition = 0; // counts what has changed the list: what was asked for before knows nothing of it
  #deleting = new Set(); // session ids; what the server then says of them is no news

  /**
   * @param {HTMLElement} element
   * @param {import("./api.js").Api} api
   * @param {object} actions
   * @param {(sessionId: string) => string} actions.urlOf
   * @param {(sessionId: string) => string|null} actions.markOf see `SessionItem`
   * @param {(sessionId: string) => void} actions.open
   * @param {(session: object) => void} actions.onChange the person changed a session: {session_id, title, ended_at}
   * @param {(sessionId: string) => void} actions.onDelete
   * @param {() => void} actions.onLoad
   * @param {(error: Error, onRetry?: () => void) => void} actions.onError
   */
  constructor(element, api, actions) {
    this.#api = api;
    this.#menu = new SessionMenu(element.parentElement);
    this.#actions = {
      ...actions,
      rename: (sessionId, title) => this.#rename(sessionId, title),
      showMenu: (item, opener) => this.#showMenu(item, opener),
    };
    this.#more.hidden = true;
    element.append(this.#failure, this.#list, this.#empty, this.#more);
  }

  async load() {
    this.#loadedAt = Date.now();
    this.#edition += 1; // a load that was under way would come too late
    const again = () => this.refreshSoon();
    await this.#fetch({ limit: Math.max(PAGE, this.#order.length) }, again, (sessions) => {
      const known = new Set(sessions.map(({ session_id }) => session_id));
      for (const id of this.#order) if (!known.has(id)) this.#items.delete(id);
      this.#order = [];
      for (const session of sessions) this.#put(session);
    });
  }

  /** Something has happened to the list: load it again soon. */
  refreshSoon() {
    const wait = Math.max(GATHER_MS, this.#loadedAt + REFRESH_MS - Date.now());
    this.#refreshTimer ??= setTimeout(() => {
      this.#refreshTimer = null;
      this.load();
    }, wait);
  }

  /** Something was said in a session: it is the newest now. */
  touch(sessionId, timestamp) {
    this.#edition += 1;
    const item = this.#items.get(sessionId);
    if (!item) {
      this.refreshSoon();
      return;
    }
    if (timestamp <= item.session.last_activity_at) return;
    item.show({ ...item.session, last_activity_at: timestamp });
    this.#order = [sessionId, ...this.#order.filter((id) => id !== sessionId)];
    this.#render();
  }

  setCurrent(sessionId) {
    this.#current = sessionId;
    this.#render();
  }

  /** Something about a session is different now: its title, or that it has ended. */
  update(sessionId, changes) {
    this.#edition += 1;
    const item = this.#items.get(sessionId);
    if (item) item.show({ ...item.session, ...changes });
    else this.refreshSoon();
  }

  /** Something else goes on in a session now. */
  showMark(sessionId) {
    this.#items.get(sessionId)?.showMark();
  }

  /** @returns {object|undefined} a session that is in the list, as the API returns it */
  get(sessionId) {
    return this.#items.get(sessionId)?.session;
  }

  /** @returns {string|undefined} the title of a session that is in the list */
  titleOf(sessionId) {
    return this.#items.get(sessionId)?.title;
  }

  /** Whether the person is deleting it on this very page. */
  isDeleting(sessionId) {
    return this.#deleting.has(sessionId);
  }

  remove(sessionId) {
    this.#edition += 1;
    const wasFocused = this.#items.get(sessionId)?.element.contains(document.activeElement);
    const place = this.#order.indexOf(sessionId);
    this.#items.delete(sessionId);
    this.#order = this.#order.filter((id) => id !== sessionId);
    this.#render();
    if (wasFocused) this.#items.get(this.#order[Math.min(place, this.#order.length - 1)])?.focus();
  }

  // --- What the person does ---

  #showMenu(item, opener) {
    const { id, session, title } = item;
    this.#menu.show(opener, [
      [strings.rename, "edit", () => item.edit()],
      ...(session.ended_at ? [] : [[strings.end, "end", () => this.end(id)]]),
      [strings.delete, "delete", () => this.#delete(id, title)],
    ]);
  }

  async #rename(sessionId, title) {
    const before = this.#items.get(sessionId).session.title;
    this.update(sessionId, { title });
    await this.#change(
      async () => this.#actions.onChange((await this.#api.rename(sessionId, title)).session),
      () => this.update(sessionId, { title: before }),
    );
  }

  /** End a session, after a question. */
  async end(sessionId) {
    if (!(await confirmed({ title: strings.endQuestion, text: strings.endExplained, action: strings.end }))) return;
    await this.#change(async () => {
      const { session } = await this.#api.endSession(sessionId);
      this.update(sessionId, session);
      this.#actions.onChange(session);
    });
  }

  async #delete(sessionId, title) {
    const question = { title: strings.deleteQuestion, text: strings.deleteExplained(title), action: strings.delete };
    if (!(await confirmed(question))) return;
    await this.#change(async () => {
      this.#deleting.add(sessionId);
      await this.#api.deleteSession(sessionId).finally(() => setTimeout(() => this.#deleting.delete(sessionId), REFRESH_MS));
      this.remove(sessionId);
      this.#actions.onDelete(sessionId);
    });
  }

  async #change(work, undo = () => {}) {
    try {
      await work();
    } catch (failure) {
      undo();
      this.#actions.onError(failure, () => this.#change(work, undo));
    }
  }

  // --- Loading and showing ---

  /** @param {() => void} again called instead of `take` when what was read is out of date */
  async #fetch(wanted, again, take) {
    const edition = this.#edition;
    try {
      const { sessions, next } = await readSessions(this.#api, wanted);
      if (edition !== this.#edition) {
        again();
        return;
      }
      take(sessions);
      this.#next = next;
      this.#failure.replaceChildren();
      this.#render();
      this.#actions.onLoad();
    } catch (failure) {
      if (failure.status === 401 || !failure.error) this.#actions.onError(failure);
      else if (this.#order.length === 0) this.#showFailure(failure.error); // else what is there is better than nothing
    }
  }

  async #loadMore() {
    await this.#fetch({ limit: PAGE, cursor: this.#next }, () => this.#loadMore(), (sessions) => {
      this.#edition += 1;
      const fresh = sessions.filter(({ session_id }) => !this.#items.has(session_id));
      for (const session of fresh) this.#put(session);
      if (this.#order.length) setTimeout(() => this.#items.get(fresh[0]?.session_id)?.focus());
    });
  }

  #put(session) {
    const item = this.#items.get(session.session_id);
    if (item) item.show(session);
    else this.#items.set(session.session_id, new SessionItem(session, this.#actions));
    this.#order.push(session.session_id);
  }

  #showFailure(error) {
    this.#failure.replaceChildren(errorCard(error, { onRetry: () => this.load() }, { tellsOutcome: false }));
  }

  /** Bring the entries into their order; those that stay where they are keep the focus and what is typed there. */
  #render() {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const items = this.#order.map((id) => this.#items.get(id));
    for (const item of items) {
      item.isMoved = true;
      item.isCurrent = item.id === this.#current;
    }
    for (const element of [...this.#list.children]) if (!items.some((item) => item.element === element)) element.remove();
    items.forEach(({ element }, index) => {
      const there = this.#list.children[index] ?? null;
      if (there !== element) this.#list.insertBefore(element, there);
    });
    if (focused?.isConnected && focused !== document.activeElement) focused.focus();
    for (const item of items) item.isMoved = false;
    this.#list.hidden = items.length === 0;
    this.#empty.hidden = items.length > 0 || this.#failure.hasChildNodes();
    this.#more.hidden = !this.#next;
  }
}
