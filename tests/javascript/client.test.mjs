/** What a person sends: stored exactly once, in order, and honestly reported when it was refused. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { SESSION, MemoryStorage, aiMessage, clock, refusal, startClient, startInSession, userMessage } from "./fake_server.mjs";

beforeEach(clock.start);
afterEach(clock.stop);

const contents = (frames) => frames.map((frame) => frame.content);

describe("sending", () => {
  it("waits for a connection, then sends and tells what was stored", () => {
    const { client, server, of } = startClient();
    const item = client.say({ content: "Hello" });
    client.connect();
    server.accept();
    const [frame] = server.received("user_message");
    assert.deepEqual(frame, { type: "user_message", ref: item.ref, content: "Hello" });
    server.ack(frame, 1);
    assert.deepEqual(of("session"), [{ event: "session", session_id: SESSION, opener: item.ref }]);
    const [message] = of("message");
    assert.equal(message.client_ref, item.ref);
    assert.equal(message.seq, 1);
    assert.deepEqual(message.reply, { reply_id: "r1", state: "pending" });
    assert.deepEqual(client.pending(SESSION), []);
  });

  it("opens one session, not two, for two messages typed at once", () => {
    const { client, server } = startClient();
    client.connect();
    server.accept();
    const first = client.say({ content: "one" });
    client.say({ content: "two", opener: first.ref });
    assert.deepEqual(contents(server.received("user_message")), ["one"]);
    server.ack(server.received("user_message")[0], 1);
    assert.equal(server.received("user_message")[1].session_id, SESSION);
  });

  it("keeps the order typed, also when the first message has to be repeated", () => {
    const { client, server, of } = startInSession(3);
    client.say({ content: "one", sessionId: SESSION });
    client.say({ content: "two", sessionId: SESSION });
    const [one] = server.received("user_message");
    server.push(refusal(one.ref, { code: "TOO_MANY_REQUESTS", actions: ["retry"], retry_after: 2_000 }));
    assert.equal(of("error")[0].retryAt, Date.now() + 2_000);
    clock.pass(1_999);
    assert.deepEqual(contents(server.received("user_message")), ["one"]);
    clock.pass(1);
    server.ack(one, 4);
    assert.deepEqual(contents(server.received("user_message")), ["one", "one", "two"]);
  });

  it("sends a request of a project's own type, and tells how it ended", () => {
    const { client, server, of } = startInSession();
    const ref = client.ask({ type: "shop.rate_answer", session_id: SESSION, stars: 5 });
    const [frame] = server.received("shop.rate_answer");
    assert.deepEqual(frame, { type: "shop.rate_answer", session_id: SESSION, stars: 5, ref });
    server.push({ type: "ack", ref, session_id: SESSION });
    const [ack] = of("ack");
    assert.equal(ack.request, "shop.rate_answer");
    assert.equal(ack.ref, ref);
  });

  it("does not repeat the choice of a model once another one is made", () => {
    const { client, server, of } = startInSession();
    const other = "3f0c9a3e-5d35-4a53-9f60-0b1f6f1d0002";
    const [first] = [client.selectModel(SESSION, "large"), client.selectModel(other, "small")];
    server.push(refusal(first, { code: "TOO_MANY_REQUESTS", actions: ["retry"], retry_after: 2_000 }));
    const second = client.selectModel(SESSION, "brief");
    server.push({ type: "ack", ref: second, session_id: SESSION });
    clock.pass(5_000);
    assert.deepEqual(server.received("model_select").map(({ model_id }) => model_id), ["large", "small", "brief"]);
    assert.deepEqual(of("ack").map(({ ref }) => ref), [second]);
    client.selectModel(SESSION, "large");
    client.selectModel(SESSION, "brief");
    server.close();
    clock.pass(500);
    server.accept();
    assert.deepEqual(server.received("model_select").map(({ model_id }) => model_id), ["small", "brief"]);
  });

  it("says what model is wanted, and that somebody types, but not at every key", () => {
    const { client, server } = startInSession();
    client.say({ content: "x", sessionId: SESSION, modelId: "large" });
    assert.equal(server.received("user_message")[0].model_id, "large");
    for (let key = 0; key < 5; key += 1) client.typing(SESSION);
    assert.equal(server.received("typing_indicator").length, 1);
    clock.pass(3_000);
    client.typing(SESSION);
    assert.equal(server.received("typing_indicator").length, 2);
  });
});

describe("exactly once", () => {
  it("sends again under the same ref what was not acknowledged before the connection broke", () => {
    const { client, server, of } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    server.close();
    clock.pass(500);
    server.accept();
    assert.equal(server.received("user_message").length, 0, "not before what was missed is known");
    server.resume([], { to: 3 });
    assert.deepEqual(server.received("user_message").map(({ ref }) => ref), [item.ref]);
    server.ack({ ref: item.ref }, 4, { duplicate: true });
    assert.equal(of("message").length, 1);
  });

  it("does not send again what the replay shows as stored", () => {
    const { client, server, of } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    server.close();
    clock.pass(500);
    server.accept();
    server.resume([userMessage(4, { client_ref: item.ref })], { to: 4 });
    assert.equal(server.received("user_message").length, 0);
    assert.deepEqual(of("message").map(({ seq, client_ref }) => [seq, client_ref]), [[4, item.ref]]);
  });

  it("survives a reload, and learns from the history what was stored", () => {
    const storage = new MemoryStorage();
    const before = startInSession(3, { storage });
    const stored = before.client.say({ content: "stored", sessionId: SESSION });
    const lost = before.client.say({ content: "lost", sessionId: SESSION });
    const { client, server } = startClient({ storage });
    client.follow(SESSION, [userMessage(4, { client_ref: stored.ref })]);
    assert.deepEqual(contents(client.pending(SESSION)), ["lost"]);
    client.connect();
    server.accept();
    server.resume([], { to: 4 });
    assert.deepEqual(server.received("user_message").map(({ ref }) => ref), [lost.ref]);
    server.ack(server.received("user_message")[0], 5);
    assert.equal(storage.getItem("switchboard.outbox"), null);
  });

  it("finds a conversation again that the server does not know yet", () => {
    const storage = new MemoryStorage();
    const before = startClient({ storage });
    const first = before.client.say({ content: "one" });
    before.client.say({ content: "two", opener: first.ref });
    const { client, server } = startClient({ storage });
    assert.deepEqual(client.unopened.map(({ opener }) => opener), [first.ref]);
    assert.deepEqual(contents(client.pending(first.ref)), ["one", "two"]);
    client.connect();
    server.accept();
    server.ack(server.received("user_message")[0], 1);
    assert.deepEqual(client.unopened, []);
    assert.deepEqual(contents(client.pending(SESSION)), ["two"]);
  });

  it("asks again after 20 s without an answer", () => {
    const { client, server } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    for (const expected of [1, 2]) {
      clock.pass(15_000);
      server.push({ type: "heartbeat", top: {} });
      assert.equal(server.received("user_message").length, expected);
    }
    assert.ok(server.received("user_message").every(({ ref }) => ref === item.ref));
  });

  it("works without a storage, with a full one and with a damaged one", () => {
    const full = { getItem: () => "{not json", setItem: () => { throw new Error("quota"); }, removeItem: () => {} };
    for (const storage of [undefined, full]) {
      const { client, server } = startInSession(0, { storage });
      client.say({ content: "Hello", sessionId: SESSION });
      assert.equal(server.received("user_message").length, 1);
    }
  });
});

describe("refusals", () => {
  const busy = { code: "SERVER_BUSY", actions: ["retry"], retry_after: 1_000 };

  it("repeats by itself three times, then leaves it to the person", () => {
    const { client, server, of } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    for (let round = 0; round < 4; round += 1) {
      server.push(refusal(item.ref, busy));
      clock.pass(1_000);
    }
    clock.pass(600_000);
    assert.equal(of("error").at(-1).retryAt, undefined);
    assert.equal(client.pending(SESSION)[0].error.code, "SERVER_BUSY");
  });

  it("does not take a refusal for the whole truth when an earlier sending was not answered", () => {
    const { client, server, of } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    server.close();
    clock.pass(500);
    server.accept();
    server.resume([], { to: 3 });
    const refused = { code: "SERVICE_ERROR", outcome: "rejected", actions: ["retry"] };
    server.push(refusal(item.ref, refused));
    assert.equal(of("error").at(-1).error.outcome, "unknown");
    assert.equal(client.pending(SESSION)[0].error.outcome, "unknown");
    client.discard(item.ref);
    const other = client.say({ content: "Once", sessionId: SESSION });
    server.push(refusal(other.ref, refused));
    assert.equal(of("error").at(-1).error.outcome, "rejected");
  });

  it("waits no day for a new allowance", () => {
    const { client, server, of } = startInSession(3);
    const item = client.say({ content: "Hello", sessionId: SESSION });
    const used = { code: "TOO_MANY_REQUESTS", category: "rate_limit", actions: ["retry"], retry_after: 7_200_000 };
    server.push(refusal(item.ref, used));
    assert.equal(of("error").at(-1).retryAt, undefined);
    assert.equal(client.pending(SESSION)[0].error.code, "TOO_MANY_REQUESTS");
  });

  for (const [why, error] of [
    ["without a time", { code: "DATABASE_ERROR", actions: ["retry"] }],
    ["without an invitation", { code: "LLM_OVERLOADED", actions: [], retry_after: 1_000 }],
  ]) {
    it(`does not repeat by itself ${why}, and sends on request under the old ref`, () => {
      const { client, server, of } = startInSession(3);
      const item = client.say({ content: "Hello", sessionId: SESSION });
      server.push(refusal(item.ref, error));
      clock.pass(20_000);
      assert.equal(server.received("user_message").length, 1);
      const [{ ref, request, retryAt }] = of("error");
      assert.deepEqual({ ref, request, retryAt }, { ref: item.ref, request: "user_message", retryAt: undefined });
      client.resend(item.ref);
      assert.deepEqual(server.received("user_message").map((frame) => frame.ref), [item.ref, item.ref]);
      assert.equal(client.pending(SESSION)[0].error, undefined);
    });
  }

  it("tells of a message that waits why it waits and until when, and stores nothing of it", () => {
    const storage = new MemoryStorage();
    const { client, server } = startInSession(3, { storage });
    const item = client.say({ content: "one", sessionId: SESSION });
    assert.equal(client.pending(SESSION)[0].retryAt, undefined);
    server.push(refusal(item.ref, busy));
    const [held] = client.pending(SESSION);
    assert.deepEqual([held.error.code, held.retryAt], ["SERVER_BUSY", Date.now() + busy.retry_after]);
    assert.ok(!storage.getItem("switchboard.outbox").includes("SERVER_BUSY"));
    clock.pass(2_000);
    assert.equal(client.pending(SESSION)[0].error, undefined, "it is on its way again");
    server.ack(server.received("user_message").at(-1), 4);
    assert.deepEqual(client.pending(SESSION), []);
  });

  for (const [where, sessionId] of [["in a conversation", SESSION], ["in a new one", undefined]]) {
    it(`does not say of a message ${where} that it was not sent, when it was sent again and not answered`, () => {
      const { client, server } = startInSession(3);
      const { ref, opener } = client.say({ content: "one", sessionId });
      const pending = () => client.pending(sessionId ?? opener)[0];
      server.push(refusal(ref, busy));
      assert.equal(pending().error.outcome, "rejected");
      clock.pass(1_000);
      server.close();
      assert.deepEqual([pending().error.outcome, pending().retryAt], ["unknown", Date.now()]);
      assert.deepEqual(client.unopened.map(({ error }) => error.outcome), sessionId ? [] : ["unknown"]);
      client.hold(ref);
      assert.deepEqual([pending().error.outcome, pending().retryAt], ["unknown", undefined]);
    });
  }

  it("waits for the person when the repetition is called off, and lets the next message go", () => {
    const { client, server } = startInSession(3);
    const item = client.say({ content: "one", sessionId: SESSION });
    client.say({ content: "two", sessionId: SESSION });
    client.hold(item.ref);
    assert.equal(client.pending(SESSION)[0].error, undefined, "it is on its way");
    server.push(refusal(item.ref, busy));
    client.hold(item.ref);
    assert.equal(client.pending(SESSION)[0].error.code, "SERVER_BUSY");
    clock.pass(2_000);
    assert.deepEqual(contents(server.received("user_message")), ["one", "two"]);
    client.resend(item.ref);
    assert.deepEqual(contents(server.received("user_message")), ["one", "two", "one"]);
  });

  it("lets the next message go when one was refused or given up", () => {
    const { client, server } = startInSession(3);
    const bad = client.say({ content: "bad", sessionId: SESSION });
    client.say({ content: "good", sessionId: SESSION });
    server.push(refusal(bad.ref, { code: "FIELD_TOO_LONG" }));
    assert.deepEqual(contents(server.received("user_message")), ["bad", "good"]);
    client.discard(bad.ref);
    assert.deepEqual(contents(client.pending(SESSION)), ["good"]);
  });

  it("does not open a second session while it is unknown whether the first was opened", () => {
    const { client, server } = startClient();
    client.connect();
    server.accept();
    const first = client.say({ content: "one" });
    client.say({ content: "two", opener: first.ref });
    server.push(refusal(first.ref, { code: "DATABASE_ERROR", outcome: "unknown" }));
    assert.deepEqual(contents(server.received("user_message")), ["one"]);
    client.resend(first.ref);
    server.ack(server.received("user_message")[1], 1, { duplicate: true });
    assert.equal(server.received("user_message").at(-1).session_id, SESSION);
  });

  it("keeps a message that was refused for want of a sign-in, and stays away", () => {
    const storage = new MemoryStorage();
    const { client, server } = startInSession(3, { storage });
    const item = client.say({ content: "Hello", sessionId: SESSION });
    server.push(refusal(item.ref, { code: "UNAUTHORIZED", recoverable: false, actions: ["sign_in"] }));
    server.close(4501);
    assert.equal(client.state, "closed");
    const again = startClient({ storage });
    again.client.follow(SESSION, []);
    again.client.connect();
    again.server.accept();
    again.server.resume([], { to: 0 });
    assert.equal(again.server.received("user_message").length, 0, "not by itself: it may be what signed us out");
    assert.equal(again.client.pending(SESSION)[0].error.code, "UNAUTHORIZED");
  });

  it("tells which request was refused, and an error of the connection as such", () => {
    const { client, server, of } = startInSession(3);
    const stop = client.stop("r1");
    const retry = client.retry("m2");
    server.push(refusal(stop, { code: "NOT_FOUND" }), refusal(retry, { code: "SERVICE_ERROR" }));
    server.push(refusal(undefined, { code: "INVALID_FORMAT" }));
    assert.deepEqual(of("error").map(({ request, message_id }) => [request, message_id]), [
      ["stop", undefined], ["retry", "m2"], [undefined, undefined],
    ]);
  });

  it("tells an error that nobody waits for any more, with what it had to name itself", () => {
    const { client, server, of } = startInSession(3);
    const { ref } = client.say({ content: "Hi", sessionId: SESSION });
    server.ack(server.received("user_message")[0], 4);
    server.push({ ...refusal(ref, { code: "SERVICE_ERROR" }), session_id: SESSION });
    const [{ request, ...told }] = of("error");
    assert.deepEqual([request, told.ref, told.session_id, told.error.code], [undefined, ref, SESSION, "SERVICE_ERROR"]);
  });

  it("looks for a message that was saved although its request failed", () => {
    const { client, server, of } = startInSession(3);
    const { ref } = client.say({ content: "Hi", sessionId: SESSION });
    server.push({ ...refusal(ref, { code: "SERVICE_ERROR", outcome: "saved" }), session_id: SESSION });
    clock.pass(1_000);
    server.resume([userMessage(4, { client_ref: ref })], { to: 4 });
    assert.deepEqual(of("message").map(({ seq, client_ref }) => [seq, client_ref]), [[4, ref]]);
    assert.deepEqual(client.pending(SESSION), []);
  });
});

describe("stop, retry, model", () => {
  it("announces the reply that a retry will bring", () => {
    const { client, server, of } = startInSession(3);
    const ref = client.retry("m3", { mode: "continue" });
    const metadata = { mode: "continue" };
    assert.deepEqual(server.received("retry")[0], { type: "retry", ref, message_id: "m3", metadata });
    server.push({ type: "ack", ref, session_id: SESSION, reply_id: "r9" });
    assert.deepEqual(of("reply").map(({ reply_id, state }) => [reply_id, state]), [["r9", "pending"]]);
    assert.equal(of("ack")[0].request, "retry");
  });

  it("leaves an answer alone that came while nobody knew whether the retry had arrived", () => {
    const { client, server, of } = startInSession(3);
    client.retry("m3");
    server.close();
    const reply = { reply_id: "r9", state: "complete" };
    const answer = { ...userMessage(4), sender: "ai", in_reply_to: "m3", content: "All of it", reply };
    client.follow(SESSION, [userMessage(3, { reply }), answer]);
    clock.pass(500);
    server.accept();
    const told = of("reply").length;
    server.ack(server.received("retry")[0], 3, { message_id: "m3", reply_id: "r9", duplicate: true });
    server.push({ type: "loading", session_id: SESSION, reply_id: "r9", in_reply_to: "m3" });
    assert.equal(of("reply").length, told);
  });

  it("asks for the answer that a retry had brought already", () => {
    const { client, server, of } = startInSession(3);
    clock.pass(5_000);
    client.retry("m3");
    server.ack(server.received("retry")[0], 3, { message_id: "m3", reply_id: "r9", duplicate: true });
    clock.pass(200);
    assert.equal(server.received("resume").length, 2);
    server.resume([aiMessage(4, "All of it", { reply_id: "r9", in_reply_to: "m3" })], { to: 4 });
    assert.equal(of("message").at(-1).content, "All of it");
  });

  it("asks again over the next connection what got no answer", () => {
    const { client, server } = startInSession(3);
    const refs = [client.stop("r1"), client.selectModel(SESSION, "large")];
    server.close();
    clock.pass(500);
    server.accept();
    assert.deepEqual([...server.received("stop"), ...server.received("model_select")].map(({ ref }) => ref), refs);
  });
});

describe("more answers at once than one person may have", () => {
  const full = {
    code: "TOO_MANY_REQUESTS", category: "rate_limit", actions: ["retry"], retry_after: 3_000, waits_for: "reply",
  };
  const OTHERS = ["a", "b", "c"].map((letter) => SESSION.replace("1", letter));
  const running = (server, ...seqs) =>
    server.push(...seqs.map((seq) => userMessage(seq, { reply: { reply_id: `r${seq}`, state: "pending" } })));
  const end = (server, id) =>
    server.push({ type: "error", session_id: SESSION, reply_id: id, in_reply_to: `m${id.slice(1)}`, error: { code: "X" } });

  it("waits without a word until one has ended, and says so", () => {
    const { client, server, of } = startInSession(0);
    running(server, 1, 2, 3);
    const item = client.say({ content: "One more", sessionId: SESSION });
    server.push(refusal(item.ref, full));
    const [{ waitsForReply, retryAt }] = of("error");
    assert.deepEqual([waitsForReply, retryAt], [true, undefined]);
    assert.equal(client.pending(SESSION)[0].waitsForReply, true);
    clock.pass(60_000);
    server.push({ type: "heartbeat", top: {} });
    assert.equal(server.received("user_message").length, 1);
    end(server, "r2");
    assert.equal(server.received("user_message").length, 2);
    assert.equal(client.pending(SESSION)[0].waitsForReply, undefined); // on its way
  });

  it("lets one go for each that has ended, in the order in which they were refused", () => {
    const { client, server } = startInSession(0);
    running(server, 1, 2);
    const items = OTHERS.map((sessionId) => client.say({ content: "One more", sessionId }));
    for (const { ref } of items) server.push(refusal(ref, full));
    const again = () => server.received("user_message").slice(3).map(({ ref }) => ref);
    end(server, "r2");
    assert.deepEqual(again(), [items[0].ref]);
    server.push({ type: "heartbeat", top: {} });
    assert.deepEqual(again(), [items[0].ref]);
    end(server, "r1");
    assert.deepEqual(again(), [items[0].ref, items[1].ref]);
  });

  it("asks later and later where the answers are those of another device", () => {
    const { client, server } = startInSession(0);
    const item = client.say({ content: "One more", sessionId: SESSION });
    const waits = [3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000];
    for (const [index, wait] of waits.entries()) {
      server.push(refusal(item.ref, full));
      clock.pass(wait - 1);
      assert.equal(server.received("user_message").length, index + 1);
      clock.pass(1);
      assert.equal(server.received("user_message").length, index + 2);
    }
  });

  it("is the same for another try of an answer", () => {
    const { client, server } = startInSession(0);
    running(server, 1, 2, 3);
    client.retry("m0");
    const [{ ref }] = server.received("retry");
    server.push(refusal(ref, full));
    clock.pass(30_000);
    assert.equal(server.received("retry").length, 1);
    end(server, "r1");
    assert.equal(server.received("retry").length, 2);
  });

  it("is waited for by nobody who has given up", () => {
    const { client, server } = startInSession(0);
    running(server, 1);
    const [first, second] = OTHERS.map((sessionId) => client.say({ content: "One more", sessionId }));
    for (const { ref } of [first, second]) server.push(refusal(ref, full));
    client.discard(first.ref);
    end(server, "r1");
    assert.deepEqual(server.received("user_message").slice(3).map(({ ref }) => ref), [second.ref]);
  });
});

describe("a device whose clock is set back", () => {
  const HOUR_MS = 3_600_000;

  /** In a session, with a clock that goes wrong when it is told to. */
  function start() {
    let behindMs = 0;
    const all = startInSession(3, { now: () => Date.now() - behindMs });
    return { ...all, setBack: () => (behindMs = HOUR_MS) };
  }

  it("closes gaps as soon as ever", () => {
    const { server, setBack } = start();
    setBack();
    server.push(userMessage(5));
    clock.pass(1_000);
    assert.equal(server.received("resume").length, 2);
  });

  it("sends again what got no answer", () => {
    const { client, server, setBack } = start();
    client.say({ content: "Hi", sessionId: SESSION });
    setBack();
    clock.pass(20_001);
    server.push({ type: "heartbeat", top: {} });
    assert.equal(server.received("user_message").length, 2);
  });

  it("repeats what was refused when it was told to, and says until when by its own clock", () => {
    const { client, server, of, setBack } = start();
    const { ref } = client.say({ content: "Hi", sessionId: SESSION });
    setBack();
    server.push(refusal(ref, { code: "TOO_MANY_REQUESTS", actions: ["retry"], retry_after: 2_000 }));
    assert.equal(of("error")[0].retryAt, Date.now() - HOUR_MS + 2_000);
    assert.equal(client.pending(SESSION)[0].retryAt, of("error")[0].retryAt);
    clock.pass(2_000);
    assert.equal(server.received("user_message").length, 2);
  });

  it("tries at once when woken", () => {
    const { client, server, setBack } = start();
    server.close();
    setBack();
    client.wake();
    assert.equal(server.sockets.length, 2);
  });
});

it("repeats at its time what was refused, though the timer comes a little before the clock", () => {
  let behindMs = 0;
  const { client, server } = startInSession(3, { elapsed: () => Date.now() - behindMs });
  const stop = client.stop("r1");
  const { ref } = client.say({ content: "Hi", sessionId: SESSION });
  const busy = { code: "SERVER_BUSY", actions: ["retry"], retry_after: 2_000 };
  server.push(refusal(stop, busy), refusal(ref, busy));
  behindMs = 1;
  clock.pass(2_000);
  assert.deepEqual([server.received("stop").length, server.received("user_message").length], [2, 2]);
});
