/**
 * Everything this client wants from the server, until the server has answered: messages and other requests.
 *
 * Sends when there is a connection, again when an answer stays out, and again when a refusal says that it may.
 */

import { Outbox } from "./outbox.js";
import { Requests } from "./requests.js";
import { Turns } from "./turns.js";

const REPEATS_MAX = 3; // automatic repetitions after a refusal; then the person decides
const PATIENCE_MS = 600_000; // nobody waits longer for a message to be sent by itself: the person decides when
const UNHEARD_MAX_MS = 60_000; // between two questions whether answers that this client does not hear of have ended
const ANSWER_DEADLINE_MS = 20_000; // what got no answer for so long is sent again; refs make that harmless

export class Sender {
  #requests = new Requests();
  #outbox;
  #options;
  #transmit;
  #isHeld;
  #turns;

  /**
   * @param {object} options see `ChatClient`
   * @param {(frame: object) => boolean} transmit hand a frame to the connection; false if there is none
   * @param {(sessionId: string) => boolean} isHeld no message may go to this session now
   * @param {() => Set<string>} running replies to this person that are being written
   */
  constructor(options, transmit, isHeld, running) {
    this.#options = options;
    this.#outbox = new Outbox(options.storage, options.storageKey);
    this.#transmit = transmit;
    this.#isHeld = isHeld;
    this.#turns = new Turns(running);
  }

  /** @returns {string} ref of the request */
  ask(frame) {
    const ref = newRef();
    this.#requests.add({ ...frame, ref });
    this.#flushRequests();
    return ref;
  }

  /** @returns {import("./outbox.js").Item} */
  say({ content, sessionId = null, opener = null, modelId }) {
    const ref = newRef();
    const created_at = new Date(this.#options.now()).toISOString();
    const item = { ref, session_id: sessionId, opener: opener ?? ref, content, model_id: modelId, created_at };
    this.#outbox.add(item);
    this.flush();
    return item;
  }

  get unopened() {
    return this.#outbox.unopened;
  }

  pending(conversation) {
    return this.#outbox.of(conversation);
  }

  resend(ref) {
    this.#turns.forget(ref);
    if (this.#outbox.revive(ref)) this.flush();
  }

  hold(ref) {
    if (!this.#outbox.hold(ref)) return;
    this.#turns.forget(ref);
    this.flush(); // the conversation's next message may go
  }

  /** The server has this message, or nobody wants it any more. @returns {import("./outbox.js").Item|undefined} */
  takeMessage(ref, sessionId) {
    this.#turns.forget(ref);
    return this.#outbox.take(ref, sessionId);
  }

  /** @returns {import("./requests.js").Request|undefined} */
  takeRequest(ref) {
    this.#turns.forget(ref);
    return this.#requests.take(ref);
  }

  /**
   * The server refused what was sent under a ref: repeat it later if the error says so, else give it up.
   *
   * @returns {object} what it was about: {error, ref, request, session_id, message_id?, retryAt?, waitsForReply?}; {} if
   *   nothing of ours
   */
  refuse(ref, told) {
    const request = this.#requests.get(ref);
    const item = this.#outbox.get(ref);
    if (!request && !item) return {};
    const error = item ? this.#outbox.weigh(ref, told) : told;
    const { session_id, message_id, type } = request?.frame ?? { ...item, type: "user_message" };
    const tries = request?.tries ?? this.#outbox.tries(ref);
    const waitsForReply = error.waits_for === "reply" && Boolean(error.actions?.includes("retry"));
    const waitMs = waitsForReply ? this.#turnInMs(ref, error, tries) : repeatInMs(error, tries);
    const retryAt = waitMs && this.#options.now() + waitMs;
    if (waitMs) {
      const notBefore = this.#options.elapsed() + waitMs;
      if (request) this.#requests.postpone(ref, notBefore);
      else this.#outbox.postpone(ref, { notBefore, retryAt, error });
      if (waitMs < Infinity) setTimeout(() => this.#release(ref, notBefore), waitMs);
    } else if (request) {
      this.#requests.take(ref);
    } else {
      this.#outbox.refuse(ref, error);
    }
    const about = { session_id, message_id, ...(waitsForReply ? { waitsForReply } : { retryAt }) };
    return { error, ref, request: type, ...Object.fromEntries(Object.entries(about).filter(([, value]) => value)) };
  }

  /** A reply may have ended: whoever waited for it may go. Cheap, and called for every frame. */
  releaseTurns() {
    const refs = this.#turns.takeFree();
    for (const ref of refs) {
      this.#requests.release(ref);
      this.#outbox.release(ref);
    }
    if (refs.length) this.flush();
  }

  /** The connection is gone: what was on its way is sent again over the next one. */
  reset() {
    this.#requests.drop("resume"); // every connection asks for its own
    this.#requests.forgetSent();
    this.#outbox.forgetSent();
  }

  /** Send again what should have been answered long ago. */
  repeatOverdue() {
    const before = this.#options.elapsed() - ANSWER_DEADLINE_MS;
    this.#requests.forgetSent(before);
    this.#outbox.forgetSent(before);
    this.flush();
  }

  /** Send whatever may be sent now. */
  flush() {
    this.#flushRequests();
    const now = this.#options.elapsed();
    for (const { ref, session_id, content, model_id } of this.#outbox.ready(now)) {
      if (session_id && this.#isHeld(session_id)) continue;
      const frame = { type: "user_message", ref, content };
      if (session_id) frame.session_id = session_id;
      if (model_id) frame.model_id = model_id;
      if (this.#transmit(frame)) this.#outbox.markSent(ref, now);
    }
  }

  #flushRequests() {
    const now = this.#options.elapsed();
    for (const request of this.#requests.ready(now)) if (this.#transmit(request.frame)) request.sentAt = now;
  }

  /** Its time has come, whatever a clock says that is a little behind the timer; unless it was refused again meanwhile. */
  #release(ref, notBefore) {
    for (const kept of [this.#requests, this.#outbox]) if (kept.notBefore(ref) === notBefore) kept.release(ref);
    this.flush();
  }

  /** How long until it is another answer's turn to end: till that is heard, or for answers elsewhere, longer and longer. */
  #turnInMs(ref, { retry_after }, tries) {
    if (this.#turns.wait(ref)) return Infinity;
    return Math.min((retry_after || 1_000) * 2 ** tries, UNHEARD_MAX_MS);
  }
}

/** When to repeat a refused request unasked: only if the server accepts a retry and says when; else null. */
function repeatInMs({ actions, retry_after }, tries) {
  const isTimed = retry_after >= 1 && retry_after <= PATIENCE_MS;
  return actions?.includes("retry") && isTimed && tries < REPEATS_MAX ? retry_after : null;
}

/** A random id for one request. `randomUUID` exists on https and localhost only. */
function newRef() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
