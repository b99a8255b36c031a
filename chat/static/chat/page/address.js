/** The address of the page: which conversation it names, and the way back through those that were open before. */

export class Address {
  #pageUrl;

  /** @param {string} pageUrl path of the page without a conversation */
  constructor(pageUrl) {
    this.#pageUrl = pageUrl;
  }

  /** The session it names, if any. */
  get sessionId() {
    const [, id] = location.pathname.match(/\/s\/([0-9a-f-]{36})\/$/) ?? [];
    return id ?? null;
  }

  /** Whether a new conversation was asked for here; kept over a reload. */
  get isFresh() {
    return Boolean(history.state?.isFresh);
  }

  /** The ref that opens the conversation that was written here and has no session yet. */
  get opener() {
    return history.state?.opener ?? null;
  }

  urlOf(sessionId) {
    return `${this.#pageUrl}s/${sessionId}/`;
  }

  /** Go on to a conversation; without a session, to a new one. */
  go({ sessionId, opener = null }) {
    if (sessionId) history.pushState(null, "", this.urlOf(sessionId));
    else history.pushState({ isFresh: true, opener }, "", this.#pageUrl);
  }

  /** What is shown has got a name: a session, or the ref that will open one. */
  correct({ sessionId, opener = null }) {
    if (sessionId) history.replaceState(null, "", this.urlOf(sessionId));
    else history.replaceState({ isFresh: true, opener }, "");
  }

  /** Whether the address is that of this conversation; a link within the page leads to no other one. */
  isOf({ sessionId, opener }) {
    return this.sessionId === sessionId && (!history.state || this.opener === opener);
  }
}
