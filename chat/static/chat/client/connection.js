/**
 * One WebSocket that is kept alive: connects, notices silence, comes back, and knows when it must not.
 *
 * Knows frames only as far as the connection itself is concerned (`connection_status`, `goodbye`, a `retry_after` that
 * comes before a close). `ChatClient` owns the only instance and reads everything else.
 */

import { CLOSE_NO_ANSWER, CLOSE_NOT_SIGNED_IN, comesBack, jitteredDelay, obeysRetryAfter, toldDelay } from "./backoff.js";

const CONNECT_DEADLINE_MS = 15_000; // handshake and first frame; the server gives a handshake 5 s
const ANSWER_PATIENCE_MS = 8_000; // after something was sent: then the server is asked for a sign of life
const PONG_DEADLINE_MS = 5_000; // for that sign, or the connection is taken for dead
const SILENCE_DEFAULT_MS = 90_000; // until the server has told its heartbeat interval
const SILENCE_HEARTBEATS = 2.5; // this many heartbeats may be missed before the connection is taken for dead
const STABLE_MS = 10_000; // a connection that lasted this long was a good one: the back-off starts over
const SOCKET_OPEN = 1; // WebSocket.OPEN, without asking the class for it

export class Connection extends EventTarget {
  state = "idle";
  #options;
  #socket = null;
  #attempt = 0;
  #openedAt = null;
  #silenceMs = SILENCE_DEFAULT_MS;
  #goodbyeMs = null; // wait told by `goodbye`, from the close on
  #notBefore = 0; // told by the last `retry_after`; counts only for the closes that are about it
  #heldUntil = 0; // no try before this time, not even on a wake-up: the server asked for it
  #retryTimer = null;
  #watchTimer = null;
  #answerTimer = null;

  /**
   * @param {object} options see `ChatClient`
   * @fires state `{state, attempt, retryAt?, heldUntil?, code?}`
   * @fires frame the decoded frame
   */
  constructor(options) {
    super();
    this.#options = options;
  }

  connect() {
    if (this.state === "connecting" || this.state === "open") return;
    clearTimeout(this.#retryTimer);
    this.#enter("connecting");
    const { url, protocols, WebSocketClass } = this.#options;
    let socket;
    try {
      socket = new WebSocketClass(url, protocols);
    } catch (failure) {
      console.error(failure); // the address, or a policy of the page: the next try may be allowed
      this.#lost(CLOSE_NO_ANSWER);
      return;
    }
    this.#socket = socket;
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code);
    this.#watch(CONNECT_DEADLINE_MS);
  }

  /** Close for good; only `connect` comes back from here. */
  close() {
    clearTimeout(this.#retryTimer);
    this.#drop(1000);
    if (this.state !== "closed") this.#enter("closed", { code: 1000 });
  }

  /** The device woke up or came online: try now instead of later, and find out whether the socket still lives. */
  wake() {
    if (this.#socket?.readyState > SOCKET_OPEN) this.#lost(CLOSE_NO_ANSWER); // it ended in its sleep, and no event came
    if (this.state === "waiting" && this.#options.elapsed() >= this.#heldUntil) this.connect();
    this.#askForLife();
  }

  /** Hand a frame to the socket; false if there is none to take it. */
  send(frame) {
    if (this.state !== "open" || this.#socket.readyState !== SOCKET_OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#answerTimer ??= setTimeout(() => this.#askForLife(), ANSWER_PATIENCE_MS);
    return true;
  }

  /** The server has bound us to a session: the connection is a good one, the back-off starts over. */
  confirm() {
    this.#attempt = 0;
  }

  #receive(data) {
    const frame = decode(data);
    if (frame === null) return;
    clearTimeout(this.#answerTimer);
    this.#answerTimer = null;
    if (frame.type === "connection_status" && !this.#isOurs(frame)) {
      this.#drop(1000);
      this.#enter("closed", { code: CLOSE_NOT_SIGNED_IN });
      return;
    }
    if (frame.type === "connection_status") {
      if (frame.heartbeat_interval > 0) this.#silenceMs = frame.heartbeat_interval * SILENCE_HEARTBEATS;
      this.#openedAt = this.#options.elapsed();
      this.#goodbyeMs = null;
    } else if (frame.type === "goodbye") {
      this.#goodbyeMs = toldDelay(frame.reconnect_in);
    } else if (frame.type === "error" && frame.error?.retry_after) {
      this.#notBefore = this.#options.elapsed() + toldDelay(frame.error.retry_after);
    }
    this.#watch(this.#silenceMs);
    if (frame.type === "connection_status") this.#enter("open");
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  /** Somebody else may have signed in meanwhile, in another tab: nothing may be sent in their name. */
  #isOurs({ user_id }) {
    const { userId } = this.#options;
    return userId === undefined || userId === user_id;
  }

  #askForLife() {
    if (this.state === "open" && this.send({ type: "ping" })) this.#watch(PONG_DEADLINE_MS);
  }

  #lost(code) {
    const now = this.#options.elapsed();
    const wasStable = this.#openedAt !== null && now - this.#openedAt >= STABLE_MS;
    this.#stopWatching();
    this.#socket = null;
    this.#openedAt = null;
    if (!comesBack(code)) {
      this.#enter("closed", { code });
      return;
    }
    if (wasStable) this.#attempt = 0;
    this.#heldUntil = now;
    if (this.#goodbyeMs !== null) this.#heldUntil = now + this.#goodbyeMs;
    else if (obeysRetryAfter(code)) this.#heldUntil = Math.max(now, this.#notBefore);
    // A goodbye is spread by the server; every other wait is spread here.
    const jitter = this.#goodbyeMs !== null ? 0 : jitteredDelay(this.#attempt, this.#options.random);
    this.#goodbyeMs = null;
    this.#attempt += 1;
    const heldMs = this.#heldUntil - now;
    this.#retryTimer = setTimeout(() => this.connect(), heldMs + jitter);
    const heldUntil = this.#options.now() + heldMs;
    this.#enter("waiting", { code, retryAt: heldUntil + jitter, heldUntil });
  }

  /** Take the connection for dead if nothing is heard for this long. */
  #watch(milliseconds) {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(() => {
      this.#drop();
      this.#lost(CLOSE_NO_ANSWER);
    }, milliseconds);
  }

  /** Let go of the socket: nothing it still says counts. */
  #drop(code) {
    this.#stopWatching();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }

  #stopWatching() {
    clearTimeout(this.#watchTimer);
    clearTimeout(this.#answerTimer);
    this.#answerTimer = null;
  }

  #enter(state, facts = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, attempt: this.#attempt, ...facts } }));
  }
}

/** The frame, or null for what is none: a newer server may say things this client does not know. */
function decode(data) {
  try {
    const frame = JSON.parse(data);
    return typeof frame?.type === "string" ? frame : null;
  } catch {
    return null;
  }
}
