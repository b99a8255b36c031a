/**
 * The WebSocket side of a conversation, without any page: connect, send, stream, resume.
 *
 *   const client = new ChatClient({ url: "wss://chat.example/chat/ws", storage: sessionStorage });
 *   client.addEventListener("reply", ({ detail }) => show(detail.in_reply_to, detail.text));
 *   client.addEventListener("error", ({ detail }) => tell(detail.error.message, detail.error.reference));
 *   client.connect();
 *   client.say({ content: "Hello" });
 *
 * A message that `say` accepted is stored by the server exactly once, whatever happens to connection or page in
 * between: it waits in the outbox and is sent again under the same `ref` until the server answers. What the server
 * stored reaches the listener exactly once per sequence number. Frames are those of docs/protocol.md, and events carry
 * their field names.
 *
 * Events (`event.detail`):
 * - `state`    {state: "connecting"|"open"|"waiting"|"closed", attempt, retryAt?, heldUntil?, code?}. While it waits, it
 *              tries at `retryAt`, and until `heldUntil` (both epoch ms) `wake` does nothing: the server asked for it.
 *              From "closed" only `connect` leads back: code 1000 after `close`, 4501 and 4502 need a sign-in, 4503 is
 *              no access.
 * - `status`   the `connection_status` frame: user, models, limits, most recent session
 * - `session`  {session_id, opener}: the server opened a session for the message with this ref
 * - `message`  {session_id, message_id, seq, sender, content, timestamp, client_ref?, in_reply_to?, reply?}: stored. An
 *              own message is told when the server has it (`client_ref` is the ref of `say`), a reply when it is whole.
 * - `reply`    {session_id, reply_id, in_reply_to, continues?, state, text, delta?}: a reply is announced ("pending"),
 *              grows ("streaming"; with `delta` the text was only appended to), or ended without a message. One that
 *              `continues` another goes on from its text: both are one answer. `reply` of a message says so, too.
 * - `error`    {error, ...}, and one of: a reply ended in it {session_id, reply_id, message_id, continues?, state, text};
 *              a request was refused {ref, request: its type, session_id?, message_id?}, and is repeated by itself at
 *              `retryAt` (epoch ms) if that is there, or with `waitsForReply`, once another answer has ended; or neither:
 *              it is about the connection, or about something sent that nobody waits for any more. Then there is nothing
 *              but the error, and a `ref` or `session_id` if it had one.
 * - `resumed`  {session_id, from, to, top, recovered}; `recovered: false`: too much was missed, load the history again.
 * - `ack`      {request, ...}: a `stop`, `retry` or `model_select` was accepted
 * - `typing`, `notification`, `goodbye`: the frames
 */

import { Connection } from "./client/connection.js";
import { Inbox } from "./client/inbox.js";
import { Sender } from "./client/sender.js";

const TYPING_INTERVAL_MS = 3_000; // between two `typing_indicator` frames
const FORWARDED = { connection_status: "status", notification: "notification", goodbye: "goodbye" };

export class ChatClient extends EventTarget {
  #elapsed;
  #connection;
  #sender;
  #inbox;
  #typedAt = -Infinity;

  /**
   * @param {object} options
   * @param {string} options.url ws: or wss: address
   * @param {string[]} [options.protocols]
   * @param {typeof WebSocket} [options.WebSocketClass]
   * @param {Storage} [options.storage] keeps unsent messages over a reload; `sessionStorage`, or one with its interface
   * @param {string} [options.userId] whose messages these are: a connection that is somebody else's is closed at once
   * @param {string} [options.storageKey] one per user: what one person typed must not be sent for another
   * @param {() => number} [options.now] epoch milliseconds, for what is told
   * @param {() => number} [options.elapsed] milliseconds of a clock that nobody sets, for what is waited
   * @param {() => number} [options.random] 0 <= n < 1
   */
  constructor(options) {
    super();
    const defaults = {
      protocols: ["chat.v1"],
      WebSocketClass: globalThis.WebSocket,
      storageKey: "switchboard.outbox",
      now: Date.now,
      elapsed: () => performance.now(),
      random: Math.random,
    };
    const settings = { ...defaults, ...options };
    this.#elapsed = settings.elapsed;
    this.#connection = new Connection(settings);
    this.#sender = new Sender(
      settings,
      (frame) => this.#connection.send(frame),
      (sessionId) => this.#inbox.isResuming(sessionId), // what was missed may show that the server has the message
      () => this.#inbox.running,
    );
    this.#inbox = new Inbox({
      emit: (type, detail) => this.#emit(type, detail),
      ask: (frame) => this.#sender.ask(frame),
      settle: (ref, sessionId) => this.#sender.takeMessage(ref, sessionId),
      now: settings.elapsed,
    });
    this.#connection.addEventListener("state", ({ detail }) => this.#onState(detail));
    this.#connection.addEventListener("frame", ({ detail }) => this.#onFrame(detail));
  }

  /** "idle" | "connecting" | "open" | "waiting" | "closed" */
  get state() {
    return this.#connection.state;
  }

  connect() {
    this.#connection.connect();
  }

  close() {
    this.#connection.close();
  }

  /** To be called when the device comes online or the page becomes visible: does not wait for the next try. */
  wake() {
    this.#connection.wake();
  }

  ping() {
    return this.#connection.send({ type: "ping" });
  }

  /**
   * Receive what happens in a session from now on, and what happened since the messages at hand.
   *
   * @param {string} sessionId
   * @param {object[]} messages its newest messages as `GET sessions/{id}` returns them, ascending; [] asks for all
   */
  follow(sessionId, messages = []) {
    for (const { client_ref } of messages) if (client_ref) this.#sender.takeMessage(client_ref, sessionId);
    const track = this.#inbox.follow(sessionId, messages);
    if (this.state === "open") this.#inbox.resume(track);
  }

  unfollow(sessionId) {
    this.#inbox.unfollow(sessionId);
  }

  /** Ask once more for what was missed, after a refused attempt to join the session. */
  resume(sessionId) {
    const track = this.#inbox.track(sessionId);
    if (track && !track.resuming && this.state === "open") this.#inbox.resume(track);
  }

  /**
   * Send a message; it waits if there is no connection.
   *
   * @param {object} message
   * @param {string} message.content
   * @param {string} [message.sessionId] absent: a new conversation
   * @param {string} [message.opener] ref of the first message of a new conversation that has no session id yet
   * @param {string} [message.modelId]
   * @returns {import("./client/outbox.js").Item}
   */
  say(message) {
    return this.#sender.say(message);
  }

  /**
   * Messages of a session (or of the conversation opened by this ref) that the server does not have yet. One that was
   * refused has its `error`, and `retryAt` or `waitsForReply` if it is sent again by itself.
   */
  pending(sessionIdOrOpener) {
    return this.#sender.pending(sessionIdOrOpener);
  }

  /** Of each conversation that the server does not know yet the first message, oldest first; `opener` is its name. */
  get unopened() {
    return this.#sender.unopened;
  }

  /** Send a refused message once more, under its old ref. */
  resend(ref) {
    this.#sender.resend(ref);
  }

  /** Do not send a refused message again by itself: it waits for `resend` or `discard`. */
  hold(ref) {
    this.#sender.hold(ref);
  }

  /** Give up a refused message. */
  discard(ref) {
    this.#sender.takeMessage(ref);
    this.#sender.flush();
  }

  /** End a reply early; what was written is kept. */
  stop(replyId) {
    return this.#sender.ask({ type: "stop", reply_id: replyId });
  }

  /** Ask for another reply to a user message; mode "continue" gives the model the partial text. */
  retry(messageId, { mode, modelId } = {}) {
    const frame = { type: "retry", message_id: messageId };
    if (modelId) frame.model_id = modelId;
    if (mode) frame.metadata = { mode };
    return this.#sender.ask(frame);
  }

  selectModel(sessionId, modelId) {
    return this.#sender.ask({ type: "model_select", session_id: sessionId, model_id: modelId });
  }

  /** Send a request of a type that your project has added; it ends in an `ack` event, or in an `error` with its type. */
  ask(frame) {
    return this.#sender.ask(frame);
  }

  /** Tell the session's other devices that somebody is typing; call it on every key. */
  typing(sessionId) {
    if (this.#elapsed() - this.#typedAt < TYPING_INTERVAL_MS) return;
    const wasSent = this.#connection.send({ type: "typing_indicator", session_id: sessionId });
    if (!wasSent) return;
    this.#typedAt = this.#elapsed();
    this.#inbox.use(sessionId);
  }

  #onState(detail) {
    if (detail.state !== "open") this.#sender.reset();
    this.#emit("state", detail);
    if (detail.state !== "open") return;
    this.#inbox.resumeAll();
    this.#sender.flush();
  }

  #onFrame(frame) {
    if (Object.hasOwn(FORWARDED, frame.type)) this.#emit(FORWARDED[frame.type], frame);
    else if (frame.type === "ack") this.#onAck(frame);
    else if (frame.type === "error" && !frame.reply_id) this.#onRefusal(frame);
    else this.#inbox.receive(frame);
    if (frame.type === "resumed") this.#onAnswer(frame.ref);
    if (frame.type === "heartbeat") this.#sender.repeatOverdue();
    this.#sender.releaseTurns();
  }

  #onAck(frame) {
    this.#inbox.use(frame.session_id);
    const request = this.#onAnswer(frame.ref);
    const item = this.#sender.takeMessage(frame.ref, frame.session_id);
    if (item) this.#onStored(item, frame);
    this.#sender.flush(); // the conversation's next message may go
    if (!request) return;
    const { type, message_id } = request.frame;
    const track = this.#inbox.track(frame.session_id);
    if (type === "retry" && track) {
      this.#inbox.openReply(track, { ...frame, in_reply_to: message_id });
      if (frame.duplicate) this.#inbox.heal(track); // it may have ended before this connection was there
    }
    this.#emit("ack", { ...frame, request: type });
  }

  /** The server has bound us to a session: the connection is a good one. */
  #onAnswer(ref) {
    this.#connection.confirm();
    const request = this.#sender.takeRequest(ref);
    if (request) this.#sender.flush();
    return request;
  }

  #onStored(item, { session_id, message_id, seq, reply_id, duplicate, timestamp, ref }) {
    const track = this.#inbox.track(session_id) ?? this.#inbox.follow(session_id, [], seq - 1);
    if (item.opener && !item.session_id) this.#emit("session", { session_id, opener: item.opener });
    track.see(seq);
    track.noteQuestion(message_id, seq);
    const message = { session_id, message_id, seq, sender: "user", content: item.content, timestamp, client_ref: ref };
    if (reply_id) message.reply = { reply_id, state: "pending" };
    this.#emit("message", message);
    if (reply_id) this.#inbox.openReply(track, { reply_id, in_reply_to: message_id });
    if (duplicate || track.hasGap) this.#inbox.heal(track); // its reply may have ended before this connection was there
  }

  #onRefusal({ error, ref, session_id }) {
    const about = this.#sender.refuse(ref, error);
    if (about.request === "resume" && !about.retryAt) this.#inbox.giveUpResume(ref);
    const track = about.request === "user_message" && error.outcome === "saved" && this.#inbox.track(session_id);
    if (track) this.#inbox.heal(track); // the server has the message although it did not say so
    this.#emit("error", { error, ...(ref && { ref }), ...(session_id && { session_id }), ...about });
    this.#sender.flush(); // the conversation's next message may go
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
