/** What the person says in the conversation on the page, until the server has it: sent, held, edited or given up. */

export class OwnMessages {
  #page;
  #room;
  #refs = new Set(); // of what was said in this tab

  /**
   * @param {object} page the parts of the page, see `page.js`
   * @param {object} room the conversation, see `room.js`
   */
  constructor(page, room) {
    this.#page = page;
    this.#room = room;
  }

  /** Whether the message with this ref was said in this tab. */
  has(ref) {
    return this.#refs.has(ref);
  }

  /** Show in the conversation, as it stands now, what the server does not have yet. */
  show() {
    for (const item of this.#pending()) {
      this.#refs.add(item.ref);
      this.#page.conversation.addPending(item);
    }
  }

  /** Bring the list of what the server does not know yet up to date. */
  list() {
    const { client, unsent } = this.#page;
    unsent.show(client.unopened);
    unsent.setCurrent(this.#room.current.opener);
  }

  /** @returns {import("../client/outbox.js").Item} */
  say(content) {
    const { address, client, conversation, log, models } = this.#page;
    const { current } = this.#room;
    const { sessionId, opener } = current;
    const item = client.say({ content, sessionId, opener, modelId: sessionId ? undefined : models.value });
    this.#refs.add(item.ref);
    if (!sessionId && !opener) {
      current.opener = item.ref;
      address.correct(current);
    }
    conversation.addPending(item);
    this.list();
    log.showWelcome();
    if (current.isLoaded) log.showNotice(); // else it tells what is missing above
    log.scrollToEnd();
    return item;
  }

  resend(ref) {
    this.#page.client.resend(ref);
    this.show();
    this.list();
  }

  /** Do not send a refused message again by itself. */
  hold(ref) {
    this.#page.client.hold(ref);
    this.show();
    this.list();
  }

  /** Put a refused message back into the box; where nothing can be said any more, all that was said goes on elsewhere. */
  edit(ref) {
    const items = this.#pending().filter((item) => this.#room.isOver || item.ref === ref);
    const texts = items.map((item) => this.remove(item.ref));
    this.#page.composer.insert(texts.join("\n"));
  }

  /** Give up a message that was refused. @returns {string} its text */
  remove(ref) {
    const { address, client, conversation, composer, drafts, log } = this.#page;
    const { current } = this.#room;
    const item = this.#pending().find((other) => other.ref === ref);
    client.discard(ref);
    conversation.removePending(ref);
    if (current.opener && this.#pending().length === 0) {
      drafts.move(current.opener, null);
      composer.restore(drafts.get(null));
      current.opener = null;
      address.correct(current);
    }
    this.list();
    if (this.#room.isOver && this.#pending().length === 0) this.#room.startNew();
    this.#room.showWelcomeIfEmpty();
    (this.#room.isOver ? log : composer).focus();
    return item?.content ?? "";
  }

  #pending() {
    const { sessionId, opener } = this.#room.current;
    return this.#page.client.pending(sessionId ?? opener);
  }
}
