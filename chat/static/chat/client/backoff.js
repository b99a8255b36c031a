/**
 * When to come back after a connection was lost: the rules of the close codes and the jittered delay.
 *
 * Used by `connection.js` alone. Times are milliseconds.
 */

const FIRST_CAP_MS = 500; // the first try waits at most this long
const LAST_CAP_MS = 30_000; // and no try waits longer than this, unless the server asked for it
const TOLD_MAX_MS = 600_000; // a wait the server asks for is believed up to ten minutes

export const CLOSE_NO_ANSWER = 1006; // what browsers report when a connection just broke
export const CLOSE_TOO_MANY_CONNECTIONS = 4405;
export const CLOSE_FLOOD = 4429;
export const CLOSE_NOT_SIGNED_IN = 4501;

/** Close codes after which the server said, in the `error` before it, how long to stay away. */
const CLOSES_WITH_RETRY_AFTER = new Set([CLOSE_TOO_MANY_CONNECTIONS, CLOSE_FLOOD]);

/** Whether a client may come back by itself after this close code: everything outside 4500-4999. */
export function comesBack(code) {
  return !(code >= 4500 && code <= 4999);
}

/** Whether a `retry_after` told before this close is about the connection. */
export function obeysRetryAfter(code) {
  return CLOSES_WITH_RETRY_AFTER.has(code);
}

/** "Full jitter": anything between nothing and a cap that doubles with each try, so that a crowd spreads out. */
export function jitteredDelay(attempt, random) {
  return random() * Math.min(LAST_CAP_MS, FIRST_CAP_MS * 2 ** Math.min(attempt, 16));
}

/** A wait as the server told it, made safe: a number of milliseconds between 0 and ten minutes. */
export function toldDelay(milliseconds) {
  return Number.isFinite(milliseconds) ? Math.min(Math.max(0, milliseconds), TOLD_MAX_MS) : 0;
}
