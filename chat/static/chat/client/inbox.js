/**
 * What the server says about the followed sessions: puts it in order, drops what came before, asks for what is missing.
 *
 * Emits through the client: `message`, `reply`, `error`, `resumed`, `typing`.
 */

import { ReplyText } from "./reply_text.js";
import { SessionTrack } from "./session_track.js";

const FOLLOWED_MAX = 20; // as many sessions as the server registers one connection with; the least recently used leaves
const GRACE_MS = 200; // a frame on its way may still close the gap
const RESUME_INTERVAL_MS = 1_000; // between two attempts to close gaps of one session
const DOUBTS_MAX = 3; // times that what was resumed is asked for again because some of it did not arrive
const REPLY_SILENCE_MS = 20_000; // of a running reply; the server lets no provider be silent for longer
const RUNNING = new Set(["pending", "streaming"]);

export class Inbox {
  #tracks = new Map(); // session id -> track, the most recently used last
  #client;
  #handlers = {
    user_message: this.#onUserMessage,
    loading: this.#onLoading,
    ai_response: this.#onAiResponse,
    resumed: this.#onResumed,
    typing_indicator: (track, frame) => this.#client.emit("typing", frame),
  };

  /**
   * @param {object} client
   * @param {(type: string, detail: object) => void} client.emit
   * @param {(frame: object) => string} client.ask send a request, get its ref
   * @param {(ref: string, sessionId: string) => void} client.settle the server has the message sent under this ref
   * @param {() => number} client.now milliseconds of a clock that nobody sets
   */
  constructor(client) {
    this.#client = client;
  }

  /** Follow a session from what is already known of it: its newest messages as the HTTP API returns them, ascending. */
  follow(sessionId, messages, lastSeq = 0) {
    clearTimeout(this.#tracks.get(sessionId)?.healing);
    this.#tracks.delete(sessionId);
    const track = new SessionTrack(sessionId, messages.at(-1)?.seq ?? lastSeq);
    for (const message of messages) this.#meetQuestion(track, message);
    this.#tracks.set(sessionId, track);
    if (this.#tracks.size > FOLLOWED_MAX) this.unfollow(this.#tracks.keys().next().value);
    return track;
  }

  unfollow(sessionId) {
    clearTimeout(this.#tracks.get(sessionId)?.healing);
    this.#tracks.delete(sessionId);
  }

  /** The session was named to the server: it is not the next to leave, there or here. */
  use(sessionId) {
    const track = this.#tracks.get(sessionId);
    if (!track) return;
    this.#tracks.delete(sessionId);
    this.#tracks.set(sessionId, track);
  }

  track(sessionId) {
    return this.#tracks.get(sessionId);
  }

  isResuming(sessionId) {
    return Boolean(this.#tracks.get(sessionId)?.resuming);
  }

  /** The replies that are being written in followed sessions. */
  get running() {
    return new Set([...this.#tracks.values()].flatMap((track) => [...track.open.keys()]));
  }

  /** Ask for what was missed in every session; after each new connection. */
  resumeAll() {
    for (const track of [...this.#tracks.values()]) {
      track.resuming = null;
      this.resume(track);
    }
  }

  resume(track, from = track.resumeFrom) {
    clearTimeout(track.healing);
    track.healing = null;
    track.resumedAt = this.#client.now();
    this.use(track.sessionId);
    track.resuming = this.#client.ask({ type: "resume", session_id: track.sessionId, last_seq: from });
  }

  /** The `resume` under this ref was refused. */
  giveUpResume(ref) {
    for (const track of this.#tracks.values()) if (track.resuming === ref) track.resuming = null;
  }

  receive(frame) {
    if (frame.type === "heartbeat") return this.#onHeartbeat(frame);
    const track = this.#tracks.get(frame.session_id);
    if (!track) return undefined;
    if (frame.type === "error") return this.#onReplyError(track, frame);
    return Object.hasOwn(this.#handlers, frame.type) ? this.#handlers[frame.type].call(this, track, frame) : undefined;
  }

  /** A reply was announced: by `ack`, `loading`, its first chunk, or the message it answers. Late, if its end is known. */
  openReply(track, { reply_id, in_reply_to, continues }) {
    if (track.isKnown(reply_id)) return;
    const isNew = !track.open.has(reply_id);
    const reply = track.reply({ reply_id, in_reply_to, continues }, this.#client.now());
    if (reply && isNew) this.#emitReply(track, reply);
  }

  /** Something is missing: ask for it, unless it comes in the meantime. */
  heal(track) {
    if (track.resuming || track.healing) return;
    const wait = Math.max(GRACE_MS, track.resumedAt + RESUME_INTERVAL_MS - this.#client.now());
    track.healing = setTimeout(() => this.resume(track), wait);
  }

  #onUserMessage(track, frame) {
    if (frame.client_ref) this.#client.settle(frame.client_ref, frame.session_id);
    if (this.#seeOrHeal(track, frame.seq)) this.#client.emit("message", { sender: "user", ...frame });
    this.#meetQuestion(track, frame);
  }

  #onLoading(track, frame) {
    this.openReply(track, frame);
  }

  #onAiResponse(track, frame) {
    if (frame.metadata?.done === "true") {
      this.#finish(track, frame);
      return;
    }
    const reply = track.reply(frame, this.#client.now());
    if (!reply) return;
    const change = reply.text.apply(frame.content ?? "", frame.offset ?? reply.text.length);
    if (change === "gap") {
      this.heal(track);
      return;
    }
    reply.state = "streaming";
    this.#emitReply(track, reply, change === "appended" ? { delta: frame.content } : {});
  }

  /** The terminal frame of a reply, live (the last delta) or replayed (the full text at offset 0). */
  #finish(track, frame) {
    if (isToldAgain(track, frame)) return;
    if (frame.seq !== undefined && track.isSeen(frame.seq)) {
      track.end(frame.reply_id);
      return;
    }
    const text = track.reply(frame, this.#client.now())?.text ?? new ReplyText();
    if (!complete(text, frame) && frame.seq !== undefined) {
      this.heal(track); // its number stays unseen, so the whole text is sent once more
      return;
    }
    track.end(frame.reply_id);
    const { reply_id, state = "complete", continues } = frame;
    const reply = frame.reply ?? { reply_id, state, ...(continues && { continues }) };
    if (frame.seq === undefined) {
      this.#client.emit("reply", { ...pick(frame), state: reply.state, text: text.text });
    } else {
      this.#seeOrHeal(track, frame.seq);
      this.#client.emit("message", { ...frame, sender: frame.sender ?? "ai", content: text.text, reply });
    }
  }

  #onReplyError(track, frame) {
    if (isToldAgain(track, frame)) return;
    const text = track.open.get(frame.reply_id)?.text;
    if (frame.seq !== undefined) {
      text?.cut(frame.content_length);
      // Not all of the kept text is here: leave its number unseen, so that it is asked for.
      if (text?.length === frame.content_length) this.#seeOrHeal(track, frame.seq);
      else this.heal(track);
    }
    if (!track.end(frame.reply_id)) return;
    const state = frame.state ?? (frame.content_length > 0 ? "partial" : "failed");
    const kept = state === "failed" ? "" : (text?.text ?? ""); // what was not stored would be gone after a reload
    const facts = { message_id: frame.in_reply_to, state, error: frame.error, text: kept };
    this.#client.emit("error", { ...pick(frame), ...facts });
  }

  #onResumed(track, frame) {
    if (track.resuming !== frame.ref) return; // the answer to an older question
    track.resuming = null;
    this.#client.emit("resumed", { ...frame });
    if (frame.recovered && !track.isSeenAll(frame.from, frame.to) && track.doubts < DOUBTS_MAX) {
      track.doubts += 1; // the server has sent it all, and not all of it is here
      this.heal(track);
      return;
    }
    track.doubts = 0;
    track.settle(frame.to);
    if (frame.from < frame.to && frame.to < frame.top) this.resume(track, frame.to);
    else if (track.hasGap || track.lastSeq < frame.top) this.heal(track);
  }

  #onHeartbeat({ top }) {
    const since = this.#client.now() - REPLY_SILENCE_MS;
    for (const track of this.#tracks.values()) {
      if (top?.[track.sessionId] > track.lastSeq || track.hasSilentReply(since)) this.heal(track);
    }
  }

  /** A user message from history, replay or another device: what it says of its reply may be news. */
  #meetQuestion(track, { sender = "user", message_id, seq, reply }) {
    if (sender !== "user") return;
    track.noteQuestion(message_id, seq);
    if (!reply) return;
    const found = { ...reply, session_id: track.sessionId, in_reply_to: message_id };
    if (RUNNING.has(reply.state)) this.openReply(track, found);
    else if (!track.open.has(reply.reply_id)) track.know(reply.reply_id);
    // A reply that has text has a message of its own, which follows; one that ended without has nothing but this.
    else if (reply.error) this.#onReplyError(track, found);
    else if (reply.state === "stopped") this.#finish(track, { ...found, metadata: { done: "true" } });
  }

  #seeOrHeal(track, seq) {
    const isNew = track.see(seq);
    if (track.hasGap) this.heal(track);
    return isNew;
  }

  #emitReply(track, reply, more = {}) {
    const { state, text } = reply;
    this.#client.emit("reply", { ...pick({ ...reply, session_id: track.sessionId }), state, text: text.text, ...more });
  }
}

/** Whether this is the end of a reply without text that its question has told already, or whose question is not here. */
function isToldAgain(track, { seq, reply_id, in_reply_to }) {
  return seq === undefined && (track.isKnown(reply_id) || !(track.open.has(reply_id) || track.hasQuestion(in_reply_to)));
}

/** Put the last piece of a reply, or all of it, to its text. @returns {boolean} whether the text is what was stored */
function complete(text, { content = "", offset = text.length, content_length }) {
  if (offset === 0) {
    text.replace(content);
    return true;
  }
  if (text.apply(content, offset) === "gap") return false;
  text.cut(content_length);
  return text.length === (content_length ?? text.length);
}

function pick({ session_id, reply_id, in_reply_to, continues, timestamp }) {
  const facts = { session_id, reply_id, in_reply_to, continues, timestamp };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}
