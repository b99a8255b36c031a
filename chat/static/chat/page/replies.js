/**
 * The answers to one question: what is known of each, how it is shown, and when another one is asked for.
 *
 * A retry brings another answer; the newest one says how the question stands.
 */

import { errorCard } from "./error_card.js";
import { ReplyView } from "./message_view.js";
import { Repetition } from "./repetition.js";
import { strings } from "./strings.js";

const RUNNING = new Set(["pending", "streaming"]);

export class Replies {
  #byId = new Map(); // reply_id -> {state, error?, hasText, notBefore, timestamp?, view}; the newest one is the last
  #isContinued = false; // whether the newest answer was asked to go on from the one before it
  #repetition = new Repetition();
  #element;
  #question;
  #actions;
  #circumstances;
  #onDecision;

  /**
   * @param {HTMLElement} element where they are shown, one after the other
   * @param {() => object|null} question what they answer
   * @param {object} actions see `Exchange`
   * @param {object} circumstances as they are now, see `Conversation`
   * @param {() => void} onDecision from now on the person decides when to ask again
   */
  constructor(element, question, actions, circumstances, onDecision) {
    this.#element = element;
    this.#question = question;
    this.#actions = actions;
    this.#circumstances = circumstances;
    this.#onDecision = onDecision;
  }

  get newest() {
    return [...this.#byId.values()].at(-1);
  }

  /** epoch ms at which the answer is asked for again by itself, or null */
  get retryAt() {
    return this.#repetition.retryAt;
  }

  /** What has come of asking again. @returns {"asked"|"answered"|"continued"} */
  get outcome() {
    const { state } = this.newest ?? {};
    if (state !== "complete" && state !== "stopped") return "asked";
    return this.#isContinued ? "continued" : "answered";
  }

  /**
   * @param {object} reply {reply_id, state, text?, delta?, error?, timestamp?, isFresh?}
   * @returns {boolean} whether anything but its text is new
   */
  set({ reply_id, state, text, delta, error, timestamp, isFresh = false }) {
    const reply = this.#byId.get(reply_id) ?? this.#add(reply_id, isFresh);
    const isRunning = RUNNING.has(state);
    if (delta !== undefined) reply.view.append(delta);
    else if (text !== undefined) reply.view.show(text, { isWhole: !isRunning });
    reply.hasText = delta !== undefined || Boolean(text ?? reply.hasText);
    if (delta !== undefined && reply.state === state) return false;
    Object.assign(reply, { state, error, timestamp: timestamp ?? reply.timestamp });
    reply.notBefore = isFresh ? Date.now() + (error?.retry_after ?? 0) : 0; // known only from what has just happened
    this.#repetition.consider({ state, error, isFresh }, () => this.#retry());
    return true;
  }

  /** The person has chosen another model: what one model asks to wait for is no matter to another. */
  takeModel() {
    const reply = this.newest;
    if (!reply?.error?.actions?.includes("switch_model")) return;
    reply.notBefore = 0;
    this.#decide();
  }

  /** Nothing is asked for again by itself. */
  cancel() {
    this.#repetition.cancel();
  }

  /** Show all of them as they stand now. @param {boolean} hasRefusal a request about the question was refused since */
  show(hasRefusal) {
    for (const reply of this.#byId.values()) {
      const isRunning = RUNNING.has(reply.state);
      const isOver = reply !== this.newest && !isRunning;
      if (isRunning) reply.view.showProgress(this.#progressWords(reply), { canStop: this.#circumstances.isOpen });
      else reply.view.showEnd(this.#ending(reply, isOver || hasRefusal));
      // What became of a retry is newer than what it was about.
      this.#showCard(reply, reply.error && !isOver && !hasRefusal);
      reply.view.element.hidden = isOver && !reply.hasText; // a failure that a retry has answered
    }
  }

  /** What can be done about an answer that is not whole. */
  handlers() {
    const { chooseModel, startNew } = this.#actions;
    const { isEnded, isClosed } = this.#circumstances;
    const canAsk = this.#question()?.message_id && !isEnded && !isClosed;
    const { state, hasText } = this.newest ?? {};
    const canContinue = canAsk && hasText && (state === "partial" || state === "stopped");
    return {
      onRetry: canAsk && (() => this.#retry()),
      onContinue: canContinue && (() => this.#retry("continue")),
      onModel: !isEnded && chooseModel,
      onNew: startNew,
    };
  }

  #add(replyId, isFresh) {
    const reply = { state: "pending", view: new ReplyView(() => this.#actions.stop(replyId)) };
    const entries = [...this.#byId];
    // The history tells the newest answer with the question, and older ones that left a text after it.
    const isOlder = !isFresh && entries.at(-1)?.[0] === this.#question()?.reply?.reply_id && entries.length > 0;
    if (isOlder) this.newest.view.element.before(reply.view.element);
    else this.#element.append(reply.view.element);
    entries.splice(isOlder ? -1 : entries.length, 0, [replyId, reply]);
    this.#byId = new Map(entries);
    return reply;
  }

  #retry(mode) {
    this.#isContinued = mode === "continue";
    const { message_id } = this.#question() ?? {};
    if (message_id) this.#actions.retry(message_id, mode);
  }

  #decide() {
    this.cancel();
    this.#onDecision();
  }

  #ending({ state, hasText, timestamp, error }, isOver) {
    // Of an answer that ended in an error, and of a request that was refused, the card says how to go on.
    const { onRetry, onContinue } = state === "stopped" && !error && !isOver ? this.handlers() : {};
    return { note: noteOf(state, hasText), timestamp: hasText && timestamp, onRetry, onContinue };
  }

  #progressWords({ state }) {
    if (!this.#circumstances.isOpen) return strings.reconnecting;
    return state === "pending" ? strings.thinking : strings.writing;
  }

  #showCard({ view, error, notBefore }, isShown) {
    if (!isShown) {
      view.showCard();
      return;
    }
    const { retryAt } = this;
    const handlers = { ...this.handlers(), onCancel: () => this.#decide() };
    const make = () => errorCard(error, handlers, { retryAt, notBefore });
    view.showCard(make, [error, retryAt, notBefore, ...Object.values(handlers).map(Boolean)]);
  }
}

/** How an answer ended, if not well. */
function noteOf(state, hasText) {
  if (state === "partial") return strings.replyPartial;
  if (state !== "stopped") return null;
  return hasText ? strings.replyStopped : strings.replyStoppedEmpty;
}
