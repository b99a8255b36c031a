/** One question of the person, with the answers to it: what became of it, and what can be done about it. */

import { h } from "./dom.js";
import { errorCard, takeBack } from "./error_card.js";
import { QuestionView } from "./message_view.js";
import { PastFailures } from "./past_failures.js";
import { Replies } from "./replies.js";
import { strings } from "./strings.js";

const REFUSED_STATES = { unknown: "unknown", saved: "saved", partial: "saved" }; // as `outcome` says; else "rejected"
const QUESTION_STATES = { complete: "answered", partial: "partial", stopped: "stopped", failed: "failed" };

export class Exchange {
  element = h("div", { class: "exchange", tabindex: "-1" });
  seq = Infinity;
  /** What the person wrote; null while only an answer to it is loaded. */
  question = null;
  #view = null;
  #refusal = null; // {error, retryAt, waitsForReply}: the question itself, or a request about it, was refused
  #past = new PastFailures();
  #replies;
  #actions;
  #circumstances;

  /**
   * @param {object} actions what the page does on a person's behalf
   * @param {(messageId: string, mode?: string) => void} actions.retry mode "continue": from the text that is there
   * @param {(replyId: string) => void} actions.stop
   * @param {(ref: string) => void} actions.resend
   * @param {(ref: string) => void} actions.hold do not send it again by itself
   * @param {(ref: string) => void} actions.edit
   * @param {(ref: string) => void} actions.remove
   * @param {() => void} [actions.chooseModel]
   * @param {() => void} actions.startNew
   * @param {(element: HTMLElement) => void} actions.focus the button that had the focus is gone
   * @param {object} circumstances as they are now, see `Conversation`
   */
  constructor(actions, circumstances) {
    this.#actions = actions;
    this.#circumstances = circumstances;
    this.#replies = new Replies(this.element, () => this.question, actions, circumstances, () => this.refresh());
  }

  /** @param {object} message as stored, or an item of the outbox, which has no `seq` */
  setQuestion(message) {
    this.question = { ...this.question, ...message };
    if (!this.#view) {
      this.#view = new QuestionView(this.#past.element);
      this.element.prepend(this.#view.element);
    }
    const { seq, error, retryAt = null, waitsForReply = false } = message;
    const refusal = { error, retryAt, waitsForReply };
    if (seq !== undefined) this.seq = seq;
    if (seq !== undefined || !error) this.#refusal = null;
    else if (!isSame(this.#refusal, refusal)) this.#refusal = refusal;
    this.#noteRefusal();
    this.#view.show({ content: this.question.content, timestamp: message.timestamp ?? message.created_at });
    this.refresh();
  }

  /** The question, or a request about it, was refused. */
  setRefusal(error, { retryAt = null, waitsForReply = false } = {}) {
    this.#replies.cancel();
    this.#refusal = { error, retryAt, waitsForReply };
    this.#noteRefusal();
    this.refresh();
  }

  /** @param {object} reply see `Replies.set` */
  setReply(reply) {
    this.#refusal = null;
    if (!this.#replies.set(reply)) return;
    this.#note(reply.error);
    this.refresh();
  }

  takeModel() {
    this.#replies.takeModel();
  }

  /** epoch ms at which the answer is asked for again by itself, or null */
  get retryAt() {
    return this.#replies.retryAt;
  }

  get isStored() {
    return this.question?.seq !== undefined;
  }

  /** Whether the messages typed after this one have to wait for it. */
  get holdsOthers() {
    if (!this.question || this.isStored) return false;
    const { error, retryAt, waitsForReply } = this.#refusal ?? {};
    // What may have opened a session or not keeps the next message from opening another one.
    return !error || Boolean(retryAt || waitsForReply) || (error.outcome === "unknown" && !this.question.session_id);
  }

  /** Show everything as it stands now; also when the connection came or went. */
  refresh() {
    const hadFocus = this.element.contains(document.activeElement);
    if (this.#circumstances.isEnded) this.#replies.cancel();
    this.#replies.show(Boolean(this.#refusal));
    this.#showQuestion();
    if (hadFocus && !this.element.contains(document.activeElement)) this.#actions.focus(this.element);
  }

  /** It is not shown any more: nothing is tried again by itself. */
  close() {
    this.#replies.cancel();
  }

  #note(error) {
    this.#past.note(error, { isAboutSending: !this.isStored });
  }

  /** To have to wait for another answer is no failure. */
  #noteRefusal() {
    if (!this.#refusal?.waitsForReply) this.#note(this.#refusal?.error);
  }

  #showQuestion() {
    if (!this.#view) return;
    this.#view.showState(this.#state());
    const current = [this.#replies.newest?.error?.reference, this.#refusal?.error.reference];
    if (this.isStored) this.#past.show(current, this.#replies.outcome);
    if (!this.#refusal) {
      this.#view.showCard();
      return;
    }
    const { error, waitsForReply } = this.#refusal;
    if (waitsForReply) {
      const { onEdit, onRemove } = this.isStored ? {} : this.#handlers();
      this.#view.showCard(onEdit && (() => takeBack({ onEdit, onRemove })), ["waits", Boolean(onEdit)]);
      return;
    }
    const handlers = this.isStored ? this.#replies.handlers() : this.#handlers();
    const facts = this.isStored ? { retryAt: this.#refusal.retryAt, tellsOutcome: false } : this.#facts();
    const make = () => errorCard(error, handlers, facts);
    this.#view.showCard(make, [this.#refusal, facts.retryAt, ...Object.values(handlers).map(Boolean)]);
  }

  #state() {
    const waitsForReply = this.#refusal?.waitsForReply;
    if (this.isStored && waitsForReply) return "askedLater";
    if (this.isStored) return QUESTION_STATES[this.#replies.newest?.state ?? this.question.reply?.state] ?? "saved";
    const { isOpen, isClosed, needsSignIn, isBehind } = this.#circumstances;
    const { error, retryAt } = this.#refusal ?? {};
    const isDecided = error && !waitsForReply && (!retryAt || error.outcome === "unknown");
    if (isDecided) return REFUSED_STATES[error.outcome] ?? "rejected";
    if (isClosed) return needsSignIn ? "signedOut" : "rejected";
    if (!isOpen) return "waiting";
    if (waitsForReply) return "queued";
    if (error) return "repeating";
    return isBehind(this) ? "behind" : "sending";
  }

  /** What can be done about a message that is not stored. */
  #handlers() {
    const { resend, hold, edit, remove, startNew } = this.#actions;
    const { isEnded, isClosed } = this.#circumstances;
    const { ref } = this.question;
    return {
      onSendAgain: !isEnded && !isClosed && (() => resend(ref)),
      onCancel: () => hold(ref),
      onEdit: () => edit(ref),
      onRemove: () => remove(ref),
      onNew: startNew,
    };
  }

  /** Without a connection nothing is sent when its time has come: then the person decides, as after a refusal for good. */
  #facts() {
    const { error, retryAt } = this.#refusal;
    const isDecided = !retryAt || error.outcome !== "rejected"; // it may yet be sent
    return { retryAt: this.#circumstances.isOpen ? retryAt : null, doing: strings.sendingAgain, tellsOutcome: isDecided };
  }
}

/** Whether a refusal tells nothing new: its card stays, with the focus in it. */
function isSame(refusal, { error, retryAt, waitsForReply }) {
  if (refusal?.retryAt !== retryAt || refusal.waitsForReply !== waitsForReply) return false;
  return refusal.error.reference === error.reference && refusal.error.outcome === error.outcome;
}
