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
  #onCancel = null;

  /**
   * @param {object} reply {state, error?, isFresh}
   * @param {object} handlers
   * @param {() => void} handlers.again
   * @param {() => void} handlers.onCancel nothing will be tried by itself any more
   */
  consider({ state, error, isFresh }, { again, onCancel }) {
    this.#stop();
    const isInvited = error?.actions?.includes("retry") && error.retry_after >= 1;
    if (state !== "failed" || !isFresh || !isInvited || this.#count >= REPEATS_MAX) return;
    this.#count += 1;
    this.retryAt = Date.now() + error.retry_after;
    this.#onCancel = onCancel;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      again();
    }, error.retry_after);
  }

  cancel() {
    const onCancel = this.#timer && this.#onCancel;
    this.#stop();
    onCancel?.();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = this.#onCancel = this.retryAt = null;
  }
}
