/**
 * Whether and when an answer that failed is asked for again by itself: as `actions` and `retry_after` of its error say.
 *
 * Only an answer without any text; of a broken-off one the person decides how it goes on.
 */

const REPEATS_MAX = 3; // of one question; then the person decides

export class Repetition {
  /** epoch ms of the next try, if there is one */
  retryAt = null;
  #count = 0;
  #timer = null;

  /**
   * @param {object} reply {state, error?, isFresh}
   * @param {() => void} again
   */
  consider({ state, error, isFresh }, again) {
    this.cancel();
    const isInvited = error?.actions?.includes("retry") && error.retry_after >= 1;
    if (state !== "failed" || !isFresh || !isInvited || this.#count >= REPEATS_MAX) return;
    this.#count += 1;
    this.retryAt = Date.now() + error.retry_after;
    this.#timer = setTimeout(again, error.retry_after);
  }

  /** Nothing is tried by itself any more. */
  cancel() {
    clearTimeout(this.#timer);
    this.retryAt = null;
  }
}
