/**
 * What the server refused because it already writes as many answers for this person as it may: each request here waits
 * until one of them has ended, and takes the place of that one. Nobody is asked again and again meanwhile.
 */
export class Turns {
  #running;
  #waiting = new Map(); // ref -> Set of reply ids; the end of any of them lets it go. Refused first, first in the map

  /** @param {() => Set<string>} running the replies that are being written, as far as this client hears of them */
  constructor(running) {
    this.#running = running;
  }

  /** @returns {boolean} whether there is a reply to wait for; else only time can tell */
  wait(ref) {
    this.#waiting.delete(ref);
    const running = this.#running();
    if (running.size > 0) this.#waiting.set(ref, running);
    return running.size > 0;
  }

  forget(ref) {
    this.#waiting.delete(ref);
  }

  /** @returns {string[]} the refs of those that may go now: one for each reply that has ended */
  takeFree() {
    if (this.#waiting.size === 0) return [];
    const running = this.#running();
    for (const [ref, replies] of this.#waiting) if (replies.size === 0) this.#waiting.set(ref, new Set(running));
    const free = [];
    const taken = new Set();
    for (const [ref, replies] of this.#waiting) {
      const hadSome = replies.size > 0;
      for (const replyId of taken) replies.delete(replyId);
      const ended = [...replies].find((replyId) => !running.has(replyId));
      // Whoever has nothing left to wait for waits for what runs next time: those that went before are asked by then.
      if (ended === undefined && hadSome) continue;
      this.#waiting.delete(ref);
      free.push(ref);
      taken.add(ended);
    }
    return free;
  }
}
