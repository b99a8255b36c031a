/**
 * The other end of a `ChatClient` in tests: a WebSocket class whose sockets a test answers by hand, and a clock.
 *
 * Nothing here waits: time passes only when a test says `clock.pass(ms)`.
 */

import { mock } from "node:test";

import { ChatClient } from "../../chat/static/chat/client.js";

export const SESSION = "3f0c9a3e-5d35-4a53-9f60-0b1f6f1d0001";

/** All sockets a client opened, the newest last; each is scripted by the test. */
export class FakeServer {
  sockets = [];

  constructor() {
    const server = this;
    this.WebSocketClass = class FakeWebSocket {
      readyState = 0;
      sent = [];

      constructor(url, protocols) {
        Object.assign(this, { url, protocols });
        server.sockets.push(this);
      }

      send(text) {
        this.sent.push(JSON.parse(text));
      }

      close(code) {
        this.readyState = 3;
        this.closedWith = code;
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** Accept the newest socket, as the server does. */
  accept(status = {}) {
    this.socket.readyState = 1;
    const whoever = { connection_id: "c1", user_id: "1", session_id: null, models: [] };
    this.push({ type: "connection_status", ...whoever, ...status });
  }

  push(...frames) {
    for (const frame of frames) this.socket.onmessage({ data: JSON.stringify(frame) });
  }

  /** End the newest socket from the server's side, or from nobody's (1006). */
  close(code = 1006) {
    this.socket.readyState = 3;
    this.socket.onclose({ code });
  }

  /** Frames of one type received over the newest socket. */
  received(type) {
    return this.socket.sent.filter((frame) => frame.type === type);
  }

  /** Acknowledge a received message. */
  ack({ ref, session_id = SESSION }, seq, more = {}) {
    const stored = { session_id, message_id: `m${seq}`, seq, reply_id: `r${seq}`, duplicate: false };
    this.push({ type: "ack", ref, ...stored, ...more });
  }

  /** Answer the newest `resume`: the missed frames, then `resumed`. */
  resume(frames, { to, top = to, recovered = true }) {
    const { ref, last_seq, session_id } = this.received("resume").at(-1);
    this.push(...frames, { type: "resumed", ref, session_id, from: last_seq, to, top, recovered });
  }
}

export class MemoryStorage {
  #entries = new Map();
  getItem = (key) => this.#entries.get(key) ?? null;
  setItem = (key, value) => this.#entries.set(key, value);
  removeItem = (key) => this.#entries.delete(key);
}

export const clock = {
  start: () => mock.timers.enable({ apis: ["setTimeout", "Date"] }),
  stop: () => mock.timers.reset(),
  pass: (milliseconds) => mock.timers.tick(milliseconds),
};

/** A client at a fake server, and everything it told. `random` is 1/2, so a jittered delay is half its cap. */
export function startClient(options = {}) {
  const server = options.server ?? new FakeServer();
  const client = new ChatClient({
    url: "ws://chat.test/chat/ws",
    WebSocketClass: server.WebSocketClass,
    random: () => 0.5,
    elapsed: () => Date.now(),
    ...options,
  });
  const told = [];
  for (const type of ["state", "session", "message", "reply", "error", "resumed", "ack", "typing", "notification"]) {
    client.addEventListener(type, ({ detail }) => told.push({ event: type, ...detail }));
  }
  const of = (event) => told.filter((entry) => entry.event === event);
  return { client, server, told, of };
}

/** A client that follows a session it knows up to `lastSeq`, connected and resumed. */
export function startInSession(lastSeq = 0, options = {}) {
  const all = startClient(options);
  all.client.follow(SESSION, lastSeq ? [userMessage(lastSeq)] : []);
  all.client.connect();
  all.server.accept();
  all.server.resume([], { to: lastSeq });
  return all;
}

export function userMessage(seq, more = {}) {
  const ids = { session_id: SESSION, message_id: `m${seq}`, seq };
  return { type: "user_message", ...ids, sender: "user", content: `q${seq}`, ...more };
}

/** A finished reply as `resume` replays it. */
export function aiMessage(seq, content, more = {}) {
  const ids = { session_id: SESSION, message_id: `m${seq}`, seq, reply_id: `a${seq}`, in_reply_to: `m${seq - 1}` };
  const metadata = { streaming: "false", done: "true" };
  return { type: "ai_response", ...ids, content, offset: 0, metadata, state: "complete", ...more };
}

/** A chunk of a running reply. */
export function chunk(content, offset, more = {}) {
  const ids = { session_id: SESSION, reply_id: "r1", in_reply_to: "m1" };
  return { type: "ai_response", ...ids, content, offset, metadata: { streaming: "true", done: "false" }, ...more };
}

export function refusal(ref, error) {
  const usual = { recoverable: true, actions: [], outcome: "rejected", message: "No." };
  return { type: "error", ref, error: { ...usual, ...error } };
}
