/** Every message reaches the listener once, in whatever order and however often it arrives. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { SESSION, aiMessage, chunk, clock, refusal, startClient, startInSession, userMessage } from "./fake_server.mjs";

beforeEach(clock.start);
afterEach(clock.stop);

const seqs = (messages) => messages.map(({ seq }) => seq);
const reconnect = (server) => {
  server.close();
  clock.pass(500);
  server.accept();
};

describe("resume", () => {
  it("asks after every connection for what came since the last message seen", () => {
    const { server } = startInSession(7);
    server.push(userMessage(8));
    reconnect(server);
    assert.deepEqual(server.received("resume").map(({ last_seq }) => last_seq), [8]);
  });

  it("asks again for what the answer should have held, and does not ask for ever", () => {
    const { server, of } = startInSession(3);
    reconnect(server);
    for (let round = 2; round <= 5; round += 1) {
      server.resume([userMessage(5)], { to: 5 });
      clock.pass(1_000);
      assert.equal(server.received("resume").length, Math.min(round, 4));
      if (round < 5) assert.equal(server.received("resume").at(-1).last_seq, 3);
    }
    assert.deepEqual(seqs(of("message")), [5]);
  });

  it("asks page by page while there is more", () => {
    const { server, of } = startInSession(2);
    reconnect(server);
    server.resume([userMessage(3), userMessage(4)], { to: 4, top: 7 });
    server.resume([userMessage(5), userMessage(6)], { to: 6, top: 7 });
    server.resume([userMessage(7)], { to: 7 });
    assert.deepEqual(server.received("resume").map(({ last_seq }) => last_seq), [2, 4, 6]);
    assert.deepEqual(seqs(of("message")), [3, 4, 5, 6, 7]);
  });

  it("tells when too much was missed, and goes on from the top", () => {
    const { server, of } = startInSession(2);
    reconnect(server);
    server.resume([userMessage(1_801), userMessage(1_802)], { to: 1_802, recovered: false });
    assert.equal(of("resumed").at(-1).recovered, false);
    server.push(userMessage(1_803));
    clock.pass(10_000);
    assert.equal(server.received("resume").length, 1, "no gap is left");
    reconnect(server);
    assert.equal(server.received("resume")[0].last_seq, 1_803);
  });

  it("asks back to a question whose reply is open: it may have failed without leaving a text", () => {
    const { server, of } = startInSession(3);
    server.push(userMessage(4, { reply: { reply_id: "r4", state: "pending" } }), userMessage(5), aiMessage(6, "five"));
    reconnect(server);
    assert.equal(server.received("resume")[0].last_seq, 3);
    const error = { code: "LLM_TIMEOUT", message: "Too long." };
    const failed = userMessage(4, { reply: { reply_id: "r4", state: "failed", error } });
    server.resume([failed, userMessage(5), aiMessage(6, "five")], { to: 6 });
    assert.deepEqual(seqs(of("message")), [4, 5, 6]);
    assert.deepEqual(of("error").map(({ reply_id, message_id, state }) => [reply_id, message_id, state]), [
      ["r4", "m4", "failed"],
    ]);
    reconnect(server);
    assert.equal(server.received("resume")[0].last_seq, 6);
  });

  it("tells of a retry elsewhere that failed without text, once", () => {
    const error = { code: "LLM_TIMEOUT", message: "Too long." };
    const known = userMessage(3, { reply: { reply_id: "r3", state: "failed", error } });
    const { client, server, of } = startInSession(3);
    client.follow(SESSION, [known]);
    const again = (reply_id) => ({ type: "error", session_id: SESSION, reply_id, in_reply_to: "m3", error });
    reconnect(server);
    server.resume([], { to: 3 });
    server.push(again("r3"), again("r3b"));
    reconnect(server);
    server.resume([], { to: 3 });
    server.push(again("r3"), again("r3b"));
    assert.deepEqual(of("error").map(({ reply_id, message_id, state }) => [reply_id, message_id, state]), [
      ["r3b", "m3", "failed"],
    ]);
  });

  it("shows an answer of more than one frame that was missed", () => {
    const { server, of } = startInSession(3);
    reconnect(server);
    const reply = { reply_id: "a5", state: "complete" };
    const first = chunk("a".repeat(100_000), 0, { reply_id: "a5", in_reply_to: "m4" });
    const last = aiMessage(5, "b".repeat(10), { offset: 100_000, content_length: 100_010, reply });
    server.resume([userMessage(4, { reply }), first, last], { to: 5 });
    assert.equal(of("message").at(-1).content.length, 100_010);
  });

  it("leaves a refused resume to the person, and lets messages go: they register anew", () => {
    const { client, server, of } = startInSession(3);
    reconnect(server);
    client.say({ content: "Hello", sessionId: SESSION });
    assert.equal(server.received("user_message").length, 0);
    server.push(refusal(server.received("resume")[0].ref, { code: "SERVICE_ERROR", actions: ["retry"] }));
    assert.deepEqual(of("error").map(({ request, session_id }) => [request, session_id]), [["resume", SESSION]]);
    assert.equal(server.received("user_message").length, 1);
    client.resume(SESSION);
    assert.equal(server.received("resume").length, 2);
  });

  it("repeats a refused resume when the error says when", () => {
    const { server } = startInSession(3);
    reconnect(server);
    const busy = { code: "SERVER_BUSY", actions: ["retry"], retry_after: 700 };
    server.push(refusal(server.received("resume")[0].ref, busy));
    clock.pass(700);
    assert.equal(server.received("resume").length, 2);
  });

  it("resumes every followed session, but no more than the server keeps", () => {
    const { client, server } = startClient();
    for (let number = 1; number <= 21; number += 1) client.follow(`session-${number}`);
    client.unfollow("session-5");
    client.connect();
    server.accept();
    const asked = server.received("resume").map(({ session_id }) => session_id);
    assert.equal(asked.length, 19);
    assert.ok(!asked.includes("session-1") && !asked.includes("session-5"));
  });

  it("lets go of the session that was used least recently, as the server does", () => {
    const { client, server } = startClient();
    for (let number = 1; number <= 20; number += 1) client.follow(`session-${number}`);
    client.connect();
    server.accept();
    for (const { ref, session_id } of server.received("resume")) {
      server.push({ type: "resumed", ref, session_id, from: 0, to: 0, top: 0, recovered: true });
    }
    client.say({ content: "Hi", sessionId: "session-1" });
    server.ack({ ref: server.received("user_message")[0].ref, session_id: "session-1" }, 1);
    client.typing("session-2");
    client.follow("session-21");
    client.follow("session-22");
    reconnect(server);
    const asked = server.received("resume").map(({ session_id }) => session_id);
    assert.deepEqual(asked.slice(-4), ["session-1", "session-2", "session-21", "session-22"]);
    assert.ok(!asked.includes("session-3") && !asked.includes("session-4"));
    assert.equal(asked.length, 20);
  });

  it("ignores the answer to a resume that was asked before the session was followed anew", () => {
    const { client, server } = startInSession(3);
    reconnect(server);
    const [old] = server.received("resume");
    client.follow(SESSION, [userMessage(3)]);
    server.push({ type: "resumed", ref: old.ref, session_id: SESSION, from: 3, to: 9, top: 9, recovered: true });
    clock.pass(20_001); // nobody answers the new one: it is asked again, from the same place
    server.push({ type: "heartbeat", top: {} });
    assert.deepEqual(server.received("resume").slice(1).map(({ last_seq }) => last_seq), [3, 3]);
  });
});

describe("gaps", () => {
  it("shows what came, asks for what is missing, and shows nothing twice", () => {
    const { server, of } = startInSession(3);
    server.push(userMessage(6));
    clock.pass(1_000);
    assert.equal(server.received("resume").at(-1).last_seq, 3);
    server.resume([userMessage(4), userMessage(5), userMessage(6)], { to: 6 });
    assert.deepEqual(seqs(of("message")), [6, 4, 5]);
  });

  it("does not ask when the missing one was only overtaken", () => {
    const { server, of } = startInSession(3);
    clock.pass(5_000);
    server.push(userMessage(5), userMessage(4));
    server.push({ type: "heartbeat", top: { [SESSION]: 5 } });
    reconnect(server);
    assert.equal(server.received("resume")[0].last_seq, 5);
    assert.deepEqual(seqs(of("message")), [5, 4]);
  });

  it("learns from the heartbeat that something was lost", () => {
    const { server } = startInSession(3);
    clock.pass(5_000);
    server.push({ type: "heartbeat", top: { [SESSION]: 4, "another-session": 9 } });
    clock.pass(200);
    assert.equal(server.received("resume").length, 2);
    server.resume([userMessage(4)], { to: 4 });
    server.push({ type: "heartbeat", top: { [SESSION]: 4 } });
    clock.pass(5_000);
    assert.equal(server.received("resume").length, 2);
  });

  it("takes a heartbeat that knows of no session", () => {
    const { client, server } = startInSession(3);
    client.say({ content: "Hi", sessionId: SESSION });
    for (const [index, top] of [null, undefined, 3].entries()) {
      clock.pass(20_001);
      server.push({ type: "heartbeat", top }); // what got no answer is sent again, whatever it says
      assert.equal(server.received("user_message").length, 2 + index);
    }
  });

  it("asks what became of a reply that has been silent for long: its end may have been lost", () => {
    const { server, of } = startInSession(3);
    const running = { reply: { reply_id: "r4", state: "pending" } };
    const failed = { reply: { reply_id: "r4", state: "failed", error: { code: "LLM_TIMEOUT" } } };
    server.push(userMessage(4, running));
    for (const [pause, asked] of [[19_000, 1], [2_000, 2], [2_000, 2]]) {
      clock.pass(pause);
      server.push({ type: "heartbeat", top: { [SESSION]: 4 } });
      clock.pass(200);
      assert.equal(server.received("resume").length, asked);
      if (pause < 19_000) server.resume([userMessage(4, running)], { to: 4 });
    }
    clock.pass(20_000);
    server.push({ type: "heartbeat", top: { [SESSION]: 4 } });
    clock.pass(200);
    assert.equal(server.received("resume").at(-1).last_seq, 3);
    server.resume([userMessage(4, failed)], { to: 4 });
    assert.deepEqual(of("error").map(({ reply_id, error }) => [reply_id, error.code]), [["r4", "LLM_TIMEOUT"]]);
  });

  it("asks at most once a second while a gap stays", () => {
    const { server } = startInSession(3);
    server.push(userMessage(9));
    for (let round = 0; round < 20; round += 1) {
      clock.pass(500);
      const open = server.received("resume").at(-1);
      server.push({ type: "resumed", ref: open.ref, session_id: SESSION, from: 3, to: 3, top: 3, recovered: true });
    }
    assert.ok(server.received("resume").length <= 11, `${server.received("resume").length} times in 10 s`);
  });

  it("drops what was seen before", () => {
    const { server, of } = startInSession(3);
    server.push(userMessage(4), userMessage(4), userMessage(2), aiMessage(5, "five"), aiMessage(5, "five"));
    assert.deepEqual(seqs(of("message")), [4, 5]);
  });

  it("is silent about sessions it does not follow", () => {
    const { client, server, told } = startInSession(3);
    client.unfollow(SESSION);
    const before = told.length;
    server.push(userMessage(9), aiMessage(10, "ten"), chunk("text", 7));
    clock.pass(5_000);
    assert.equal(told.length, before);
    assert.equal(server.received("resume").length, 1);
  });
});
