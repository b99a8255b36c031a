/**
 * The log of one conversation: every question with its answers, in the order of their sequence numbers.
 *
 * Fed with messages in the shape of the HTTP API, and with the events of `ChatClient`.
 */

import { SIGN_IN_CODES } from "./connection_line.js";
import { Exchange } from "./exchange.js";

const TOLD_WITHOUT_TEXT = new Set(["pending", "streaming", "stopped"]); // states of a reply that may have no text

export class Conversation {
  #list;
  #actions;
  /** What every exchange depends on. Closed: nothing will be sent until the person does something about it. */
  #circumstances = {
    isOpen: false,
    isClosed: false,
    needsSignIn: false,
    isEnded: false,
    isBehind: (exchange) => this.#isBehind(exchange),
  };
  #exchanges = []; // as shown
  #byMessage = new Map(); // message_id of the question -> Exchange
  #byRef = new Map(); // ref of the question, while it is not stored -> Exchange

  /**
   * @param {HTMLElement} list where the exchanges go
   * @param {object} actions see `Exchange`
   */
  constructor(list, actions) {
    this.#list = list;
    this.#actions = actions;
  }

  get isEmpty() {
    return this.#exchanges.length === 0;
  }

  clear() {
    for (const exchange of this.#exchanges) exchange.close();
    this.#exchanges = [];
    this.#byMessage.clear();
    this.#byRef.clear();
    this.#list.replaceChildren();
    this.#circumstances.isEnded = false;
  }

  /** @param {object} detail of the client's `state` event */
  setConnection({ state, code }) {
    const isClosed = state === "closed";
    const needsSignIn = isClosed && SIGN_IN_CODES.has(code);
    Object.assign(this.#circumstances, { isOpen: state === "open", isClosed, needsSignIn });
    this.#refresh();
  }

  /** Whether nobody can write here any more. */
  setEnded(isEnded) {
    if (this.#circumstances.isEnded === isEnded) return;
    this.#circumstances.isEnded = isEnded;
    this.#refresh();
  }

  /** Another model was chosen. */
  takeModel() {
    for (const exchange of this.#exchanges) exchange.takeModel();
  }

  /** A message as the server has it: from history, replay, or just now. */
  addMessage(message, { isFresh = false } = {}) {
    if (message.sender === "user") this.#addQuestion(message, isFresh);
    else this.#addAnswer(message, isFresh);
  }

  /** A message of the person's that the server does not have yet. */
  addPending(item) {
    const exchange = this.#byRef.get(item.ref) ?? this.#insert(this.#newExchange());
    this.#byRef.set(item.ref, exchange);
    exchange.setQuestion(item);
    this.#refreshPending();
  }

  removePending(ref) {
    const exchange = this.#byRef.get(ref);
    this.#byRef.delete(ref);
    this.#exchanges = this.#exchanges.filter((other) => other !== exchange);
    exchange?.element.remove();
    this.#refreshPending();
  }

  /** A running reply: announced, grown, or ended without a message. */
  updateReply(detail) {
    this.#exchangeOf(detail.in_reply_to).setReply({ ...detail, isFresh: true });
  }

  /** A reply ended in an error. @returns {number|null} epoch ms at which it is asked for again by itself */
  failReply({ message_id, ...reply }) {
    const exchange = this.#exchangeOf(message_id);
    exchange.setReply({ ...reply, isFresh: true });
    return exchange.retryAt;
  }

  /** A message, or a request about one, was refused. @returns {boolean} whether it is shown here */
  refuse({ ref, message_id, error, retryAt, waitsForReply }) {
    const exchange = this.#byRef.get(ref) ?? this.#byMessage.get(message_id);
    exchange?.setRefusal(error, { retryAt, waitsForReply });
    this.#refreshPending();
    return Boolean(exchange);
  }

  #refresh() {
    for (const exchange of this.#exchanges) exchange.refresh();
  }

  /** What became of one message decides what the ones after it wait for. */
  #refreshPending() {
    for (const exchange of this.#byRef.values()) exchange.refresh();
  }

  #isBehind(exchange) {
    const before = this.#exchanges.slice(0, this.#exchanges.indexOf(exchange));
    return before.some(({ holdsOthers }) => holdsOthers);
  }

  #addQuestion(message, isFresh) {
    const exchange =
      this.#byRef.get(message.client_ref) ?? this.#byMessage.get(message.message_id) ?? this.#newExchange();
    this.#byRef.delete(message.client_ref);
    this.#byMessage.set(message.message_id, exchange);
    const hadPlace = exchange.seq === message.seq;
    exchange.setQuestion(message);
    if (!hadPlace) this.#insert(exchange);
    this.#refreshPending();
    const { reply } = message;
    // A reply that has text comes as a message of its own.
    if (reply && (reply.error || TOLD_WITHOUT_TEXT.has(reply.state))) exchange.setReply({ ...reply, isFresh });
  }

  #addAnswer(message, isFresh) {
    const { content, timestamp, reply = {} } = message;
    const exchange = this.#exchangeOf(message.in_reply_to ?? message.message_id, message.seq);
    const { reply_id = message.message_id, state = "complete", error, continues } = reply;
    exchange.setReply({ reply_id, state, error, continues, text: content, timestamp, isFresh });
  }

  /** The exchange of a question; a place for it if the question itself is not loaded. */
  #exchangeOf(messageId, seq = Infinity) {
    let exchange = this.#byMessage.get(messageId);
    if (!exchange) {
      exchange = this.#newExchange();
      exchange.seq = seq;
      this.#byMessage.set(messageId, this.#insert(exchange));
    }
    return exchange;
  }

  #newExchange() {
    return new Exchange(this.#actions, this.#circumstances);
  }

  /** Put an exchange where its sequence number belongs; what has none yet stays at the end. */
  #insert(exchange) {
    this.#exchanges = this.#exchanges.filter((other) => other !== exchange);
    let index = this.#exchanges.length;
    while (index > 0 && this.#exchanges[index - 1].seq > exchange.seq) index -= 1;
    const next = this.#exchanges[index]?.element ?? null;
    this.#exchanges.splice(index, 0, exchange);
    const { isConnected, nextSibling } = exchange.element;
    if (!isConnected || nextSibling !== next) this.#list.insertBefore(exchange.element, next);
    return exchange;
  }
}
