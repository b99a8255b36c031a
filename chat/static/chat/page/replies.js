/**
 * The answers to one question: what is known of each, how it is shown, and when another one is asked for.
 *
 * A retry brings another answer; the newest one says how the question stands. One that goes on from another is shown in
 * the same place, as one text.
 */

import { errorCard } from "./error_card.js";
import { ReplyView } from "./message_view.js";
import { Repetition } from "./repetition.js";
import { strings } from "./strings.js";

const RUNNING = new Set(["pending", "streaming"]);

export class Replies {
  // reply_id -> {state, error?, continues?, text, notBefore, timestamp?, view, ownView}; the newest one is the last
  #byId = new Map();
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
    const { state, continues } = this.newest ?? {};
    if (state !== "complete" && state !== "stopped") return "asked";
    return continues ? "continued" : "answered";
  }

  /**
   * @param {object} reply {reply_id, state, text?, delta?, error?, continues?, timestamp?, isFresh?}
   * @returns {boolean} whether anything but its text is new
   */
  set({ reply_id, state, text, delta, error, continues, timestamp, isFresh = false }) {
    const reply = this.#byId.get(reply_id) ?? this.#add(reply_id, isFresh);
    const { text: before, view } = reply;
    const wasState = reply.state;
    Object.assign(reply, { state, text: text ?? before, continues: continues ?? reply.continues });
    this.#join();
    const isOnlyMore = delta !== undefined && reply.view === view && reply.text === before + delta;
    if (isOnlyMore) reply.view.append(delta);
    else if (text !== undefined) this.#showText(reply.view);
    if (isOnlyMore && wasState === state) return false;
    Object.assign(reply, { error, timestamp: timestamp ?? reply.timestamp });
    reply.notBefore = isFresh ? Date.now() + (error?.retry_after ?? 0) : 0; // known only from what has just happened
    this.#repetition.consider({ state, error, isFresh }, () => this.#retry(reply.continues && "continue"));
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
    for (const view of new Set([...this.#byId.values()].map((reply) => reply.view))) {
      const parts = this.#partsOf(view);
      const reply = parts.at(-1);
      const isRunning = RUNNING.has(reply.state);
      const isOver = reply !== this.newest && !isRunning;
      if (isRunning) view.showProgress(this.#progressWords(reply), { canStop: this.#circumstances.isOpen });
      else view.showEnd(this.#ending(parts, isOver || hasRefusal));
      // What became of a retry is newer than what it was about.
      this.#showCard(reply, reply.error && !isOver && !hasRefusal);
      view.element.hidden = isOver && !parts.some(({ text }) => text); // a failure that a retry has answered
    }
  }

  /** What can be done about an answer that is not whole. */
  handlers() {
    const { chooseModel, startNew } = this.#actions;
    const { isEnded, isClosed } = this.#circumstances;
    const canAsk = this.#question()?.message_id && !isEnded && !isClosed;
    const { state, view } = this.newest ?? {};
    const canContinue = canAsk && state !== "complete" && this.#partsOf(view).some(({ text }) => text);
    return {
      onRetry: canAsk && (() => this.#retry()),
      onContinue: canContinue && (() => this.#retry("continue")),
      onModel: !isEnded && chooseModel,
      onNew: startNew,
    };
  }

  #add(replyId, isFresh) {
    const ownView = new ReplyView(() => this.#stop(ownView));
    const reply = { state: "pending", text: "", view: ownView, ownView };
    const entries = [...this.#byId];
    // The history tells the newest answer with the question, and older ones that left a text after it.
    const isOlder = !isFresh && entries.at(-1)?.[0] === this.#question()?.reply?.reply_id && entries.length > 0;
    const isBegun = ([, { continues }]) => continues === replyId; // what goes on from it was loaded before
    const index = entries.some(isBegun) ? entries.findIndex(isBegun) : entries.length - (isOlder ? 1 : 0);
    if (index < entries.length) entries[index][1].view.element.before(ownView.element);
    else this.#element.append(ownView.element);
    entries.splice(index, 0, [replyId, reply]);
    this.#byId = new Map(entries);
    return reply;
  }

  // --- Answers in several parts ---

  #join() {
    const changed = new Set();
    for (const reply of this.#byId.values()) {
      const view = this.#byId.get(reply.continues)?.view ?? reply.ownView;
      if (reply.view === view) continue;
      reply.view.element.remove();
      reply.view = view;
      changed.add(view);
    }
    for (const view of changed) this.#showText(view);
  }

  #showText(view) {
    const parts = this.#partsOf(view);
    view.show(parts.map(({ text }) => text).join(""), { isWhole: !RUNNING.has(parts.at(-1).state) });
  }

  #partsOf(view) {
    return [...this.#byId.values()].filter((reply) => reply.view === view);
  }

  #stop(view) {
    for (const [replyId, reply] of this.#byId) {
      if (reply.view === view && RUNNING.has(reply.state)) this.#actions.stop(replyId);
    }
  }

  // --- What comes below their text ---

  #retry(mode) {
    const { message_id } = this.#question() ?? {};
    if (message_id) this.#actions.retry(message_id, mode);
  }

  #decide() {
    this.cancel();
    this.#onDecision();
  }

  #ending(parts, isOver) {
    const { state, error } = parts.at(-1);
    const said = parts.filter(({ text }) => text);
    const last = said.at(-1);
    // Of an answer that ended in an error, and of a request that was refused, the card says how to go on.
    const { onRetry, onContinue } = state === "stopped" && !error && !isOver ? this.handlers() : {};
    const note = noteOf(state === "failed" && last ? last.state : state, Boolean(last));
    return { note, isContinued: said.length > 1, timestamp: last?.timestamp, onRetry, onContinue };
  }

  #progressWords({ state, continues }) {
    if (!this.#circumstances.isOpen) return strings.reconnecting;
    if (continues) return strings.continuing;
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
