/**
 * One question of the person and the answers to it: what is known of them, and how that is shown.
 *
 * A retry brings another answer to the same question; the newest one says how the question stands.
 */

import { h } from "./dom.js";
import { errorCard } from "./error_card.js";
import { QuestionView, ReplyView } from "./message_view.js";
import { Repetition } from "./repetition.js";
import { strings } from "./strings.js";

const RUNNING = new Set(["pending", "streaming"]);
const NOTES = { partial: strings.replyPartial, stopped: strings.replyStopped };
const REFUSED_STATES = { unknown: "unknown", saved: "saved", partial: "saved" }; // as `outcome` says; else "rejected"
const QUESTION_STATES = { complete: "answered", partial: "partial", stopped: "stopped", failed: "failed" };

export class Exchange {
  element = h("div", { class: "exchange", tabindex: "-1" });
  seq = Infinity;
  /** What the person wrote; null while only an answer to it is loaded. */
  question = null;
  #view = null;
  #replies = new Map(); // reply_id -> {state, error?, view}
  #refusal = null; // {error, retryAt?}: the question itself was refused
  #shownRefusal = null;
  #references = new Set(); // of failures that were told here
  #repetition = new Repetition();
  #actions;

  /**
   * @param {object} actions what the page does on a person's behalf
   * @param {(messageId: string, mode?: string) => void} actions.retry mode "continue": from the text that is there
   * @param {(replyId: string) => void} actions.stop
   * @param {(ref: string) => void} actions.resend
   * @param {(ref: string) => void} actions.edit
   * @param {(ref: string) => void} actions.remove
   * @param {() => void} [actions.chooseModel]
   * @param {() => void} actions.startNew
   * @param {() => string} actions.loginUrl
   * @param {() => boolean} actions.isOpen whether there is a connection
   * @param {(element: HTMLElement) => void} actions.focus the button that had the focus is gone
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
    this.#note(this.#refusal?.error);
    this.#view.show({ content: this.question.content, timestamp: message.timestamp ?? message.created_at });
    this.refresh();
  }

  /** The question, or a request about it, was refused. */
  setRefusal(error, retryAt = null) {
    this.#repetition.cancel();
    this.#refusal = { error, retryAt };
    this.#note(error);
    this.refresh();
  }

  /** @param {object} reply {reply_id, state, text?, delta?, error?, timestamp?, isFresh?} */
  setReply({ reply_id, state, text, delta, error, timestamp, isFresh = false }) {
    this.#refusal = null;
    const reply = this.#replies.get(reply_id) ?? this.#addReply(reply_id);
    const isRunning = RUNNING.has(state);
    if (delta !== undefined) reply.view.append(delta);
    else if (text !== undefined) reply.view.show(text, { isWhole: !isRunning });
    reply.hasText = delta !== undefined || Boolean(text ?? reply.hasText);
    if (delta !== undefined && reply.state === state) return; // nothing else is new
    Object.assign(reply, { state, error, timestamp: timestamp ?? reply.timestamp, isFresh });
    this.#note(error);
    this.#repetition.consider(reply, {
      again: () => this.#retry(),
      onCancel: () => this.#recard(reply),
    });
    this.refresh();
  }

  /** Show everything as it stands now; also when the connection came or went. */
  refresh() {
    const hadFocus = this.element.contains(document.activeElement);
    this.#showReplies();
    this.#showQuestion();
    if (hadFocus && !this.element.contains(document.activeElement)) this.#actions.focus(this.element);
  }

  /** It is not shown any more: nothing is tried again by itself. */
  close() {
    this.#repetition.cancel();
  }

  #addReply(replyId) {
    const reply = { state: "pending", view: new ReplyView(() => this.#actions.stop(replyId)) };
    this.#replies.set(replyId, reply);
    this.element.append(reply.view.element);
    return reply;
  }

  #note(error) {
    if (error?.reference) this.#references.add(error.reference);
  }

  #retry(mode) {
    if (this.question?.message_id) this.#actions.retry(this.question.message_id, mode);
  }

  get #newest() {
    return [...this.#replies.values()].at(-1);
  }

  #showReplies() {
    for (const reply of this.#replies.values()) {
      const isRunning = RUNNING.has(reply.state);
      const isOver = reply !== this.#newest && !isRunning;
      if (isRunning) reply.view.showProgress(this.#progressWords(reply), { canStop: this.#actions.isOpen() });
      else reply.view.showEnd(this.#ending(reply, isOver));
      // What became of a retry is newer than what it was about.
      reply.view.showCard(reply.error && !isOver && !this.#refusal ? this.#replyCard(reply) : null);
      reply.view.element.hidden = isOver && !reply.hasText; // a failure that a retry has answered
    }
  }

  #ending({ state, hasText, timestamp, error }, isOver) {
    // Of an answer that ended in an error, the card offers to go on.
    const canContinue = state === "stopped" && hasText && !error && !isOver && this.question?.message_id;
    return {
      note: NOTES[state],
      timestamp: hasText && timestamp,
      onContinue: canContinue ? () => this.#retry("continue") : null,
    };
  }

  #progressWords({ state }) {
    if (!this.#actions.isOpen()) return strings.reconnecting;
    return state === "pending" ? strings.thinking : strings.writing;
  }

  #replyCard(reply) {
    const { retryAt } = this.#repetition;
    const handlers = { ...this.#replyHandlers(), onCancel: retryAt && (() => this.#repetition.cancel()) };
    if (reply.state === "partial" && handlers.onRetry) handlers.onContinue = () => this.#retry("continue");
    reply.card ??= errorCard(reply.error, handlers, { isFresh: reply.isFresh, retryAt });
    return reply.card;
  }

  #recard(reply) {
    reply.card = null;
    this.refresh();
  }

  #replyHandlers() {
    const { chooseModel, startNew, loginUrl } = this.#actions;
    const onRetry = this.question?.message_id && (() => this.#retry());
    return { onRetry, onModel: chooseModel, onNew: startNew, loginUrl: loginUrl() };
  }

  #showQuestion() {
    if (!this.#view) return;
    this.#view.showState(this.#questionState());
    this.#view.showPast(this.#pastReferences());
    const { error, retryAt } = this.#refusal ?? {};
    if (this.#shownRefusal === this.#refusal) return;
    this.#shownRefusal = this.#refusal;
    this.#view.showCard(error && errorCard(error, this.#refusalHandlers(), { retryAt, tellsOutcome: !this.isStored }));
  }

  /** What was told here and is not on a card now, once it has been made good. */
  #pastReferences() {
    const current = new Set([this.#newest?.error?.reference, this.#refusal?.error?.reference]);
    if (!this.isStored) return [];
    return [...this.#references].filter((reference) => !current.has(reference));
  }

  /** epoch ms at which the answer is asked for again by itself, or null */
  get retryAt() {
    return this.#repetition.retryAt;
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
      if (this.#refusal) return REFUSED_STATES[this.#refusal.error.outcome] ?? "rejected";
      return this.#actions.isOpen() ? "sending" : "waiting";
    }
    return QUESTION_STATES[this.#newest?.state ?? this.question.reply?.state] ?? "saved";
  }
}
