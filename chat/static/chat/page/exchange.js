/**
 * One question of the person and the answers to it: what is known of them, and how that is shown.
 *
 * A retry brings another answer to the same question; the newest one says how the question stands.
 */

import { h } from "./dom.js";
import { errorCard, takeBack } from "./error_card.js";
import { QuestionView, ReplyView } from "./message_view.js";
import { PastFailures } from "./past_failures.js";
import { Repetition } from "./repetition.js";
import { strings } from "./strings.js";

const RUNNING = new Set(["pending", "streaming"]);
const REFUSED_STATES = { unknown: "unknown", saved: "saved", partial: "saved" }; // as `outcome` says; else "rejected"
const QUESTION_STATES = { complete: "answered", partial: "partial", stopped: "stopped", failed: "failed" };

export class Exchange {
  element = h("div", { class: "exchange", tabindex: "-1" });
  seq = Infinity;
  /** What the person wrote; null while only an answer to it is loaded. */
  question = null;
  #view = null;
  #replies = new Map(); // reply_id -> {state, error?, continues?, text, view, ownView}; the newest one is the last
  #refusal = null; // {error, retryAt?, waitsForReply?}: the question itself, or a request about it, was refused
  #past = new PastFailures();
  #repetition = new Repetition();
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
  }

  /** @param {object} message as stored, or an item of the outbox, which has no `seq` */
  setQuestion(message) {
    this.question = { ...this.question, ...message };
    if (!this.#view) {
      this.#view = new QuestionView(this.#past.element);
      this.element.prepend(this.#view.element);
    }
    if (message.seq !== undefined) {
      this.seq = message.seq;
      this.#refusal = null;
    } else {
      const { error, retryAt, waitsForReply } = message;
      this.#refusal = error ? { error, retryAt, waitsForReply } : null;
    }
    this.#noteRefusal();
    this.#view.show({ content: this.question.content, timestamp: message.timestamp ?? message.created_at });
    this.refresh();
  }

  /** The question, or a request about it, was refused. */
  setRefusal(error, { retryAt = null, waitsForReply = false } = {}) {
    this.#repetition.cancel();
    this.#refusal = { error, retryAt, waitsForReply };
    this.#noteRefusal();
    this.refresh();
  }

  /** @param {object} reply {reply_id, state, text?, delta?, error?, continues?, timestamp?, isFresh?} */
  setReply({ reply_id, state, text, delta, error, continues, timestamp, isFresh = false }) {
    this.#refusal = null;
    const reply = this.#replies.get(reply_id) ?? this.#addReply(reply_id, isFresh);
    const { text: before, view } = reply;
    const wasState = reply.state;
    Object.assign(reply, { state, text: text ?? before, continues: continues ?? reply.continues });
    this.#join();
    const isOnlyMore = delta !== undefined && reply.view === view && reply.text === before + delta;
    if (isOnlyMore) reply.view.append(delta);
    else if (text !== undefined) this.#showText(reply.view);
    if (isOnlyMore && wasState === state) return; // nothing else is new
    Object.assign(reply, { error, timestamp: timestamp ?? reply.timestamp });
    reply.notBefore = isFresh ? Date.now() + (error?.retry_after ?? 0) : 0; // known only from what has just happened
    this.#note(error);
    this.#repetition.consider({ state, error, isFresh }, () => this.#retry(reply.continues && "continue"));
    this.refresh();
  }

  /** The person has chosen another model: what one model asks to wait for is no matter to another. */
  takeModel() {
    const reply = this.#newest;
    if (!reply?.error?.actions?.includes("switch_model")) return;
    reply.notBefore = 0;
    this.#decide();
  }

  /** Whether the messages typed after this one have to wait for it. */
  get holdsOthers() {
    if (this.isStored) return false;
    const { error, retryAt, waitsForReply } = this.#refusal ?? {};
    // What may have opened a session or not keeps the next message from opening another one.
    return !error || Boolean(retryAt || waitsForReply) || (error.outcome === "unknown" && !this.question.session_id);
  }

  /** Show everything as it stands now; also when the connection came or went. */
  refresh() {
    const hadFocus = this.element.contains(document.activeElement);
    if (this.#circumstances.isEnded) this.#repetition.cancel();
    this.#showReplies();
    this.#showQuestion();
    if (hadFocus && !this.element.contains(document.activeElement)) this.#actions.focus(this.element);
  }

  /** It is not shown any more: nothing is tried again by itself. */
  close() {
    this.#repetition.cancel();
  }

  #addReply(replyId, isFresh) {
    const ownView = new ReplyView(() => this.#stop(ownView));
    const reply = { state: "pending", text: "", view: ownView, ownView };
    const entries = [...this.#replies];
    // The history tells the newest answer with the question, and older ones that left a text after it.
    const isOlder = !isFresh && entries.at(-1)?.[0] === this.question?.reply?.reply_id && entries.length > 0;
    const isBegun = ([, { continues }]) => continues === replyId; // what goes on from it was loaded before
    const index = entries.some(isBegun) ? entries.findIndex(isBegun) : entries.length - (isOlder ? 1 : 0);
    if (index < entries.length) entries[index][1].view.element.before(ownView.element);
    else this.element.append(ownView.element);
    entries.splice(index, 0, [replyId, reply]);
    this.#replies = new Map(entries);
    return reply;
  }

  // --- Answers in several parts: a reply that goes on from another one is shown in the same place ---

  #join() {
    const changed = new Set();
    for (const reply of this.#replies.values()) {
      const view = this.#replies.get(reply.continues)?.view ?? reply.ownView;
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
    return [...this.#replies.values()].filter((reply) => reply.view === view);
  }

  #stop(view) {
    for (const [replyId, reply] of this.#replies) {
      if (reply.view === view && RUNNING.has(reply.state)) this.#actions.stop(replyId);
    }
  }

  #note(error) {
    this.#past.note(error, { isAboutSending: !this.isStored });
  }

  /** To have to wait for another answer is no failure. */
  #noteRefusal() {
    if (!this.#refusal?.waitsForReply) this.#note(this.#refusal?.error);
  }

  #retry(mode) {
    if (this.question?.message_id) this.#actions.retry(this.question.message_id, mode);
  }

  /** From now on the person decides when to ask again. */
  #decide() {
    this.#repetition.cancel();
    this.refresh();
  }

  get #newest() {
    return [...this.#replies.values()].at(-1);
  }

  get isStored() {
    return this.question?.seq !== undefined;
  }

  // --- Answers ---

  #showReplies() {
    for (const view of new Set([...this.#replies.values()].map((reply) => reply.view))) {
      const parts = this.#partsOf(view);
      const reply = parts.at(-1);
      const isRunning = RUNNING.has(reply.state);
      const isOver = reply !== this.#newest && !isRunning;
      if (isRunning) view.showProgress(this.#progressWords(reply), { canStop: this.#circumstances.isOpen });
      else view.showEnd(this.#ending(parts, isOver));
      // What became of a retry is newer than what it was about.
      this.#showReplyCard(reply, reply.error && !isOver && !this.#refusal);
      view.element.hidden = isOver && !parts.some(({ text }) => text); // a failure that a retry has answered
    }
  }

  #ending(parts, isOver) {
    const { state, error } = parts.at(-1);
    const said = parts.filter(({ text }) => text);
    const last = said.at(-1);
    // Of an answer that ended in an error, and of a request that was refused, the card says how to go on.
    const canGoOn = state === "stopped" && !error && !isOver && !this.#refusal;
    const { onRetry, onContinue } = canGoOn ? this.#replyHandlers() : {};
    const note = noteOf(state === "failed" && last ? last.state : state, Boolean(last));
    return { note, isContinued: said.length > 1, timestamp: last?.timestamp, onRetry, onContinue };
  }

  #progressWords({ state, continues }) {
    if (!this.#circumstances.isOpen) return strings.reconnecting;
    if (continues) return strings.continuing;
    return state === "pending" ? strings.thinking : strings.writing;
  }

  #showReplyCard({ view, error, notBefore }, isShown) {
    if (!isShown) {
      view.showCard();
      return;
    }
    const { retryAt } = this.#repetition;
    const handlers = { ...this.#replyHandlers(), onCancel: () => this.#decide() };
    const make = () => errorCard(error, handlers, { retryAt, notBefore });
    view.showCard(make, [error, retryAt, notBefore, ...Object.values(handlers).map(Boolean)]);
  }

  /** What can be done about an answer that is not whole. */
  #replyHandlers() {
    const { chooseModel, startNew } = this.#actions;
    const { isEnded, isClosed } = this.#circumstances;
    const canAsk = this.question?.message_id && !isEnded && !isClosed;
    const { state, view } = this.#newest ?? {};
    const canContinue = canAsk && state !== "complete" && this.#partsOf(view).some(({ text }) => text);
    return {
      onRetry: canAsk && (() => this.#retry()),
      onContinue: canContinue && (() => this.#retry("continue")),
      onModel: !isEnded && chooseModel,
      onNew: startNew,
    };
  }

  // --- The question ---

  #showQuestion() {
    if (!this.#view) return;
    this.#view.showState(this.#questionState());
    const current = [this.#newest?.error?.reference, this.#refusal?.error.reference];
    if (this.isStored) this.#past.show(current, this.#pastOutcome());
    if (!this.#refusal) {
      this.#view.showCard();
      return;
    }
    const { error, waitsForReply } = this.#refusal;
    if (waitsForReply) {
      const { onEdit, onRemove } = this.isStored ? {} : this.#messageHandlers();
      this.#view.showCard(onEdit && (() => takeBack({ onEdit, onRemove })), ["waits", Boolean(onEdit)]);
      return;
    }
    const handlers = this.isStored ? this.#replyHandlers() : this.#messageHandlers();
    const facts = this.isStored ? { retryAt: this.#refusal.retryAt, tellsOutcome: false } : this.#messageFacts();
    const make = () => errorCard(error, handlers, facts);
    this.#view.showCard(make, [this.#refusal, facts.retryAt, ...Object.values(handlers).map(Boolean)]);
  }

  #pastOutcome() {
    const { state, continues } = this.#newest ?? {};
    if (state !== "complete" && state !== "stopped") return "asked";
    return continues ? "continued" : "answered";
  }

  /** epoch ms at which the answer is asked for again by itself, or null */
  get retryAt() {
    return this.#repetition.retryAt;
  }

  /** What can be done about a message that is not stored. */
  #messageHandlers() {
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
  #messageFacts() {
    const { error, retryAt } = this.#refusal;
    const isDecided = !retryAt || error.outcome !== "rejected"; // it may yet be sent
    return { retryAt: this.#circumstances.isOpen ? retryAt : null, doing: strings.sendingAgain, tellsOutcome: isDecided };
  }

  #questionState() {
    const waitsForReply = this.#refusal?.waitsForReply;
    if (this.isStored && waitsForReply) return "askedLater";
    if (this.isStored) return QUESTION_STATES[this.#newest?.state ?? this.question.reply?.state] ?? "saved";
    const { isOpen, isClosed, needsSignIn, isBehind } = this.#circumstances;
    const { error, retryAt } = this.#refusal ?? {};
    if (error && !retryAt && !waitsForReply) return REFUSED_STATES[error.outcome] ?? "rejected";
    if (isClosed) return needsSignIn ? "signedOut" : "rejected";
    if (!isOpen) return "waiting";
    if (waitsForReply) return "queued";
    if (error) return "repeating";
    return isBehind(this) ? "behind" : "sending";
  }
}

/** How an answer ended, if not well. */
function noteOf(state, hasText) {
  if (state === "partial") return strings.replyPartial;
  if (state !== "stopped") return null;
  return hasText ? strings.replyStopped : strings.replyStoppedEmpty;
}
