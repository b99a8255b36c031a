/** The history of the conversation on the page: loaded anew or as it was last known, and what came before it. */

export class HistoryView {
  #parts;
  #page;

  /**
   * @param {object} parts
   * @param {import("./activity.js").Activity} parts.activity
   * @param {import("./api.js").Api} parts.api
   * @param {import("../client.js").ChatClient} parts.client
   * @param {import("./conversation.js").Conversation} parts.conversation
   * @param {import("./histories.js").Histories} parts.histories
   * @param {import("./log_view.js").LogView} parts.log
   * @param {object} page
   * @param {(opened: object) => boolean} page.isCurrent whether this is still the conversation on the page
   * @param {(failure: Error, onRetry: () => void) => void} page.onError
   */
  constructor(parts, page) {
    this.#parts = parts;
    this.#page = page;
  }

  /**
   * Load and show the newest messages. What is shown already stays until they are there, and where they cannot be loaded.
   *
   * @param {object} opened see `Room`
   * @returns {Promise<object|null>} the session; null if another conversation is on the page meanwhile
   * @throws {import("./api.js").ApiError}
   */
  async load(opened) {
    const { activity, api, client, conversation, histories, log } = this.#parts;
    log.showLoading(true);
    if (client.state !== "open") this.#showKept(opened, { isLoading: true }); // the answer may be long in coming
    try {
      const history = await api.history(opened.sessionId);
      if (!this.#page.isCurrent(opened)) return null;
      log.showLoading(false);
      log.showNotice();
      Object.assign(opened, { isLoaded: true, hasText: true });
      conversation.clear();
      for (const message of history.messages) conversation.addMessage(message);
      activity.forgetWriting(opened.sessionId); // it is told anew when the session is followed
      client.follow(opened.sessionId, history.messages);
      histories.keep(history);
      this.#offerEarlier(opened, history);
      return history.session;
    } catch (failure) {
      if (!this.#page.isCurrent(opened)) return null;
      log.showLoading(false);
      if (failure.status === 404) histories.forget(opened.sessionId);
      this.#showKept(opened);
      throw failure;
    }
  }

  #showKept(opened, { isLoading = false } = {}) {
    const { conversation, histories, log } = this.#parts;
    const kept = histories.get(opened.sessionId);
    if (!kept) return;
    if (!isLoading) this.#offerEarlier(opened, kept);
    if (opened.hasText) return;
    opened.hasText = true;
    for (const message of kept.messages) conversation.addMessage(message);
    log.scrollToEnd();
  }

  #offerEarlier(opened, { messages, has_more }) {
    const { api, conversation, log } = this.#parts;
    const load = async () => {
      try {
        const earlier = await api.history(opened.sessionId, { before: messages[0].seq });
        if (!this.#page.isCurrent(opened)) return;
        log.keepPlace(() => {
          for (const message of earlier.messages) conversation.addMessage(message);
          this.#offerEarlier(opened, earlier);
        });
      } catch (failure) {
        if (this.#page.isCurrent(opened)) this.#page.onError(failure, load);
      }
    };
    log.offerEarlier(has_more ? load : null);
  }
}
