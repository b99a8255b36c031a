/** A reply that streams: every character in its place, one ending, whatever is lost in between. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { ReplyText, codePoints } from "../../chat/static/chat/client/reply_text.js";
import { SESSION, aiMessage, chunk, clock, startInSession, userMessage } from "./fake_server.mjs";

beforeEach(clock.start);
afterEach(clock.stop);

const done = { metadata: { streaming: "false", done: "true" } };

/** The frame that ends reply r1 with its last delta. */
function terminal(content, offset, length, more = {}) {
  const facts = { seq: 2, message_id: "m2", content_length: length, state: "complete" };
  return chunk(content, offset, { ...done, ...facts, ...more });
}

function startReply() {
  const all = startInSession(0);
  all.server.push(userMessage(1), { type: "loading", session_id: SESSION, reply_id: "r1", in_reply_to: "m1" });
  return all;
}

describe("code points", () => {
  for (const [text, count] of [
    ["", 0], ["abc", 3], ["\u{1F600}", 1], ["a\u{1F600}b", 3], ["\u{1F468}\u200D\u{1F469}", 3], ["\u{D83D}", 1],
    ["\u{DE00}\u{D83D}", 2],
  ]) {
    it(`counts ${count} in ${JSON.stringify(text)}`, () => assert.equal(codePoints(text), count));
  }

  it("puts random chunks of hostile text together as they were", () => {
    const alphabet = ["a", "é", "\u{1F600}", "\u200D", "漢", "\u{1F1E9}\u{1F1EA}", "\n", "</script>"];
    for (let round = 0; round < 200; round += 1) {
      const pieces = Array.from({ length: 30 }, () => alphabet[Math.floor(Math.random() * alphabet.length)]);
      const points = Array.from(pieces.join(""));
      const text = new ReplyText();
      while (text.length < points.length) {
        const from = Math.max(0, text.length - Math.floor(Math.random() * 4)); // also inside what is there
        const to = Math.min(points.length, from + 1 + Math.floor(Math.random() * 9));
        const before = text.length;
        assert.notEqual(text.apply(points.slice(from, to).join(""), from), "gap");
        assert.equal(text.length, Math.max(before, to));
      }
      assert.equal(text.text, points.join(""));
    }
  });
});

describe("streaming", () => {
  it("appends chunks by code points and tells what was appended", () => {
    const { server, of } = startReply();
    server.push(chunk("Hi \u{1F44B}\u{1F3FD}", 0), chunk(" there", 5), terminal("!", 11, 12));
    assert.deepEqual(of("reply").map(({ state, text, delta }) => [state, text, delta]), [
      ["pending", "", undefined],
      ["streaming", "Hi \u{1F44B}\u{1F3FD}", "Hi \u{1F44B}\u{1F3FD}"],
      ["streaming", "Hi \u{1F44B}\u{1F3FD} there", " there"],
    ]);
    const message = of("message").at(-1);
    assert.equal(message.content, "Hi \u{1F44B}\u{1F3FD} there!");
    assert.deepEqual(message.reply, { reply_id: "r1", state: "complete" });
    assert.equal(message.in_reply_to, "m1");
  });

  it("skips what overlaps, and loses nothing to a chunk that comes late", () => {
    const { server, of } = startReply();
    server.push(chunk("Hello \u{1F30D} wor", 0), chunk("Hello ", 0), chunk("\u{1F30D} world", 6), chunk("wor", 8));
    assert.deepEqual(of("reply").map(({ text, delta }) => [text, delta]).slice(2), [
      ["Hello \u{1F30D} wor", undefined],
      ["Hello \u{1F30D} world", undefined],
      ["Hello \u{1F30D} world", undefined],
    ]);
    server.push(chunk("!", 13), terminal("", 14, 14));
    assert.equal(of("message").at(-1).content, "Hello \u{1F30D} world!");
  });

  it("takes the whole text of a replay for what was shown of it", () => {
    const { server, of } = startReply();
    server.push(chunk("Hello wurld, and more", 0), aiMessage(2, "Hello world", { reply_id: "r1", in_reply_to: "m1" }));
    assert.equal(of("message").at(-1).content, "Hello world");
  });

  it("drops what was shown beyond the text that is stored", () => {
    const { server, of } = startReply();
    server.push(chunk("a".repeat(100_020), 0));
    const long = { content_length: 100_010, state: "partial" };
    server.push(chunk("a".repeat(100_000), 0), terminal("a".repeat(10), 100_000, 100_010, long));
    assert.equal(of("message").at(-1).content.length, 100_010);
  });

  it("asks for the text so far when a chunk was lost", () => {
    const { server, of } = startReply();
    clock.pass(2_000);
    server.push(chunk("one ", 0), chunk("three ", 8), chunk("four ", 14));
    assert.equal(of("reply").at(-1).text, "one ");
    clock.pass(200);
    assert.equal(server.received("resume").length, 2);
    assert.equal(server.received("resume").at(-1).last_seq, 0);
    server.resume([userMessage(1, { reply: { reply_id: "r1", state: "streaming" } })], { to: 1 });
    server.push(chunk("one two three four ", 0), terminal("five", 19, 23));
    assert.equal(of("message").at(-1).content, "one two three four five");
  });

  it("does not take a text for whole that is too short", () => {
    const { server, of } = startReply();
    clock.pass(2_000);
    server.push(chunk("one ", 0), terminal("three", 8, 13));
    assert.equal(of("message").length, 1);
    clock.pass(200);
    server.resume([userMessage(1), aiMessage(2, "one two three", { reply_id: "r1" })], { to: 2 });
    assert.equal(of("message").at(-1).content, "one two three");
  });

  it("goes on after a break from the text so far", () => {
    const { server, of } = startReply();
    server.push(chunk("one ", 0));
    server.close();
    clock.pass(500);
    server.accept();
    server.resume([userMessage(1, { reply: { reply_id: "r1", state: "streaming" } })], { to: 1 });
    server.push(chunk("one two ", 0), chunk("three", 8));
    assert.equal(of("reply").at(-1).text, "one two three");
  });

  it("keeps two replies apart", () => {
    const { server, of } = startReply();
    server.push(userMessage(2), chunk("a", 0), chunk("x", 0, { reply_id: "r2", in_reply_to: "m2" }), chunk("b", 1));
    const last = Object.fromEntries(of("reply").map(({ reply_id, text }) => [reply_id, text]));
    assert.deepEqual(last, { r1: "ab", r2: "x" });
  });
});

describe("endings", () => {
  const error = { code: "REPLY_INTERRUPTED", message: "Cut off.", actions: ["retry"] };
  const failed = (more) => ({ type: "error", session_id: SESSION, reply_id: "r1", in_reply_to: "m1", error, ...more });

  it("ends once: what comes after the end is dropped", () => {
    const { server, of } = startReply();
    server.push(chunk("Hi", 0), terminal("", 2, 2), terminal("", 2, 2), chunk("late", 2), failed());
    assert.equal(of("message").length, 2);
    assert.equal(of("reply").at(-1).text, "Hi");
    assert.equal(of("error").length, 0);
  });

  it("tells a failure at the message it answers, without text that was not kept", () => {
    const { server, of } = startReply();
    server.push(chunk("H", 0), failed(), failed());
    const told = of("error").map(({ message_id, state, text }) => [message_id, state, text]);
    assert.deepEqual(told, [["m1", "failed", ""]]);
  });

  it("keeps the partial text of a reply that broke off, and takes its number as seen", () => {
    const { server, of } = startReply();
    server.push(chunk("Half of \u{1F600}", 0), failed({ seq: 2, message_id: "m2", content_length: 9 }));
    const [{ state, text }] = of("error");
    assert.deepEqual([state, text], ["partial", "Half of \u{1F600}"]);
    clock.pass(10_000);
    assert.equal(server.received("resume").length, 1);
    server.close();
    clock.pass(15_000);
    server.accept();
    assert.equal(server.received("resume")[0].last_seq, 2);
  });

  it("keeps of a reply that broke off what was stored of it, though more was shown", () => {
    const { server, of } = startReply();
    server.push(chunk("Half of \u{1F600} and", 0), failed({ seq: 2, message_id: "m2", content_length: 9 }));
    assert.equal(of("error")[0].text, "Half of \u{1F600}");
    clock.pass(10_000);
    assert.equal(server.received("resume").length, 1);
  });

  it("asks for partial text that did not arrive", () => {
    const { server, of } = startReply();
    server.push(chunk("Half", 0), failed({ seq: 2, message_id: "m2", content_length: 8 }));
    clock.pass(1_000);
    const reply = { reply_id: "r1", state: "partial", error };
    server.resume([aiMessage(2, "Half of ", { reply_id: "r1", state: "partial", reply })], { to: 2 });
    assert.equal(of("error").length, 1);
    const { content, reply: told } = of("message").at(-1);
    assert.deepEqual([content, told.state, told.error.code], ["Half of ", "partial", "REPLY_INTERRUPTED"]);
  });

  it("ends a stopped reply that has no text, live or learnt from the replay", () => {
    for (const learn of [
      (server) => server.push(chunk("", 0, { ...done, state: "stopped" })),
      (server) => {
        server.close();
        clock.pass(500);
        server.accept();
        server.resume([userMessage(1, { reply: { reply_id: "r1", state: "stopped" } })], { to: 1 });
      },
    ]) {
      const { server, of } = startReply();
      learn(server);
      assert.equal(of("reply").at(-1).state, "stopped");
      server.push(chunk("late", 0));
      assert.equal(of("reply").at(-1).state, "stopped");
    }
  });
});

describe("a reply that continues another", () => {
  const one = { session_id: SESSION, reply_id: "r2", in_reply_to: "m1", continues: "r1" };

  it("says so in everything that is told of it", () => {
    const { client, server, of } = startInSession(0);
    server.push(userMessage(1));
    client.retry("m1", { mode: "continue" });
    server.ack(server.received("retry").at(-1), 1, { message_id: "m1", reply_id: "r2", continues: "r1" });
    server.push({ type: "loading", ...one }, chunk("more", 0, one), terminal("", 4, 4, one));
    assert.deepEqual(of("reply").map(({ state, continues }) => [state, continues]), [
      ["pending", "r1"],
      ["streaming", "r1"],
    ]);
    assert.deepEqual(of("message").at(-1).reply, { reply_id: "r2", state: "complete", continues: "r1" });
  });

  it("says so when it fails", () => {
    const { server, of } = startInSession(0);
    server.push(userMessage(1), { type: "loading", ...one }, { type: "error", ...one, error: { code: "LLM_UNAVAILABLE" } });
    const [{ state, continues }] = of("error");
    assert.deepEqual([state, continues], ["failed", "r1"]);
  });

  it("says so when only its question tells of it", () => {
    const { server, of } = startInSession(0);
    server.push(userMessage(1, { reply: { reply_id: "r2", state: "streaming", continues: "r1" } }));
    assert.equal(of("reply")[0].continues, "r1");
  });
});
