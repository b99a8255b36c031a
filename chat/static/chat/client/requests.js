/**
 * Requests other than messages (`resume`, `stop`, `retry`, `model_select`) until the server has answered them.
 *
 * All of them may be asked twice without harm, so what got no answer is asked again. They live as long as the page.
 *
 * @typedef {object} Request
 * @property {object} frame as sent, with its `ref`
 * @property {number|null} sentAt
 * @property {number} tries how often a refusal was already answered by asking again
 * @property {number} notBefore
 */

export class Requests {
  /** @type {Map<string, Request>} */
  #byRef = new Map();

  add(frame) {
    if (frame.type === "model_select") this.#dropChoice(frame.session_id);
    this.#byRef.set(frame.ref, { frame, sentAt: null, tries: 0, notBefore: 0 });
  }

  get(ref) {
    return this.#byRef.get(ref);
  }

  /** @returns {Request|undefined} the request, which is answered now */
  take(ref) {
    const request = this.#byRef.get(ref);
    this.#byRef.delete(ref);
    return request;
  }

  ready(now) {
    return [...this.#byRef.values()].filter(({ sentAt, notBefore }) => sentAt === null && notBefore <= now);
  }

  postpone(ref, notBefore) {
    const request = this.#byRef.get(ref);
    Object.assign(request, { sentAt: null, tries: request.tries + 1, notBefore });
  }

  notBefore(ref) {
    return this.#byRef.get(ref)?.notBefore;
  }

  /** Its time has come, whenever that was to be. */
  release(ref) {
    const request = this.#byRef.get(ref);
    if (request) request.notBefore = 0;
  }

  /** What was sent before this time will be sent again. */
  forgetSent(before = Infinity) {
    for (const request of this.#byRef.values()) {
      if (request.sentAt !== null && request.sentAt < before) request.sentAt = null;
    }
  }

  /** Drop all requests of one type. */
  drop(type) {
    for (const [ref, { frame }] of this.#byRef) if (frame.type === type) this.#byRef.delete(ref);
  }

  /** A later choice counts: an earlier one that is still repeated would undo it. */
  #dropChoice(sessionId) {
    for (const [ref, { frame }] of this.#byRef) {
      if (frame.type === "model_select" && frame.session_id === sessionId) this.#byRef.delete(ref);
    }
  }
}
