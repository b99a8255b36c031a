/**
 * One question of the person and the answers to it: what is known of them, and how that is shown.
 *
 * A retry brings another answer to the same question; the newest one says how the question stands.
 */

import { h } from "./dom.js";
import { errorCard } from "./error_card.js";
import { QuestionView, ReplyView } from "./message_view.js";
import { strings } from "./strings.js";

const RUNNING = new Set(["pending", "streaming"]);
const NOTES = { partial: strings.replyPartial, stopped: strings.replyStopped };
const QUESTION_STATES = { complete: "answered", partial: "partial", stopped: "stopped", failed: "failed" };

export class Exchange {
  element = h("div", { class: "exchange" });
  seq = Infinity;
  /** What the person wrote; null while only an answer to it is loaded. */
  question = null;
  #view = null;
  #replies = new Map(); // reply_id -> {state, error?, view}
  #refusal = null; // {error, retryAt?}: the question itself was refused
  #shownRefusal = null;
  #actions;

  /**
   * @param {object} actions what the page does on a person's behalf
   * @param {(messageId: string) => void} actions.retry
   * @param {(replyId: string) => void} actions.stop
   * @param {(ref: string) => void} actions.resend
   * @param {(ref: string) => void} actions.edit
   * @param {(ref: string) => void} actions.remove
   * @param {() => void} [actions.chooseModel]
   * @param {() => void} actions.startNew
   * @param {() => string} actions.loginUrl
   * @param {() => boolean} actions.isOpen whether there is a connection
   */
  constructor(actions) {
    this.#actions = actions;
  }

  /** @param {object} message as stored, or an item of the outbox, which has no `seq` */
  setQuestion(message) {
    this.question = { ...this.question, ...message };
    if (!this.#view) {
      this.#view = new QuestionView();
      this.element.prepend(this.#view.element);
    }
    if (message.seq !== undefined) {
      this.seq = message.seq;
      this.#refusal = null;
    } else {
      this.#refusal = message.error ? { error: message.error } : null;
    }
    this.#view.show({ content: this.question.content, timestamp: message.timestamp ?? message.created_at });
    this.#showQuestion();
  }

  /** The question, or a request about it, was refused. */
  setRefusal(error, retryAt = null) {
    this.#refusal = { error, retryAt };
    this.#showReplies();
    this.#showQuestion();
  }

  /** @param {object} reply {reply_id, state, text?, delta?, error?, timestamp?, isFresh?} */
  setReply({ reply_id, state, text, delta, error, timestamp, isFresh = false }) {
    this.#refusal = null;
    const reply = this.#replies.get(reply_id) ?? this.#addReply(reply_id);
    if (delta !== undefined) reply.view.append(delta);
    else if (text !== undefined) reply.view.show(text);
    reply.hasText = delta !== undefined || Boolean(text ?? reply.hasText);
    if (delta !== undefined && reply.state === state) return; // nothing else is new
    Object.assign(reply, { state, error, timestamp: timestamp ?? reply.timestamp, isFresh });
    this.#showReplies();
    this.#showQuestion();
  }

  /** The connection came or went. */
  refresh() {
    this.#showReplies();
    this.#showQuestion();
  }

  #addReply(replyId) {
    const reply = { state: "pending", view: new ReplyView(() => this.#actions.stop(replyId)) };
    this.#replies.set(replyId, reply);
    this.element.append(reply.view.element);
    return reply;
  }

  #showReplies() {
    const newest = [...this.#replies.values()].at(-1);
    for (const reply of this.#replies.values()) {
      const isRunning = RUNNING.has(reply.state);
      const isOver = reply !== newest && !isRunning;
      if (isRunning) reply.view.showProgress(this.#progressWords(reply), { canStop: this.#actions.isOpen() });
      else reply.view.showEnd({ note: NOTES[reply.state], timestamp: reply.hasText && reply.timestamp });
      // What became of a retry is newer than what it was about.
      reply.view.showCard(reply.error && !isOver && !this.#refusal ? this.#replyCard(reply) : null);
      reply.view.element.hidden = isOver && !reply.hasText; // a failure that a retry has answered
    }
  }

  #progressWords({ state }) {
    if (!this.#actions.isOpen()) return strings.reconnecting;
    return state === "pending" ? strings.thinking : strings.writing;
  }

  #replyCard(reply) {
    reply.card ??= errorCard(reply.error, this.#replyHandlers(), { isFresh: reply.isFresh });
    return reply.card;
  }

  #replyHandlers() {
    const { retry, chooseModel, startNew, loginUrl } = this.#actions;
    const messageId = this.question?.message_id;
    const onRetry = messageId && (() => retry(messageId));
    return { onRetry, onModel: chooseModel, onNew: startNew, loginUrl: loginUrl() };
  }

  #showQuestion() {
    if (!this.#view) return;
    this.#view.showState(this.#questionState());
    const { error, retryAt } = this.#refusal ?? {};
    if (this.#shownRefusal === this.#refusal) return;
    this.#shownRefusal = this.#refusal;
    this.#view.showCard(error && errorCard(error, this.#refusalHandlers(), { retryAt, tellsOutcome: !this.isStored }));
  }

  get isStored() {
    return this.question?.seq !== undefined;
  }

  #refusalHandlers() {
    const { resend, edit, remove } = this.#actions;
    if (this.isStored) return this.#replyHandlers(); // a retry was refused
    const { ref } = this.question;
    const own = { onSendAgain: () => resend(ref), onEdit: () => edit(ref), onRemove: () => remove(ref) };
    return { ...own, onNew: this.#actions.startNew, loginUrl: this.#actions.loginUrl() };
  }

  #questionState() {
    if (!this.isStored) {
      if (this.#refusal?.retryAt) return "repeating";
      if (this.#refusal) return this.#refusal.error.outcome === "unknown" ? "unknown" : "rejected";
      return this.#actions.isOpen() ? "sending" : "waiting";
    }
    const newest = [...this.#replies.values()].at(-1);
    return QUESTION_STATES[newest?.state ?? this.question.reply?.state] ?? "saved";
  }
}
