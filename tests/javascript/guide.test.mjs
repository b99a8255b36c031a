/** The example of docs/client.md, as it stands there, at a fake server. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, it } from "node:test";

import { FakeServer, chunk, clock, refusal } from "./fake_server.mjs";

const MODULE = new URL("../../chat/static/chat/client.js", import.meta.url);
const guide = await readFile(new URL("../../docs/client.md", import.meta.url), "utf8");
const [, example] = /```js\n([^]*?)```/.exec(guide);
const source = example.replace('"/static/chat/client.js"', JSON.stringify(MODULE.href));
const { startChat } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

beforeEach(clock.start);
afterEach(clock.stop);

it("holds a conversation: an answer that streams, a second message, a failure", () => {
  globalThis.addEventListener ??= () => {}; // a browser has it
  const shown = [];
  const view = {
    say: (text) => shown.push(["you", text]),
    write: (id, text) => shown.push([id, text]),
    fail: (sentence, reference) => shown.push(["failure", sentence, reference]),
  };
  const server = new FakeServer();
  const chat = startChat({ url: "wss://chat.test/chat/ws", view, WebSocketClass: server.WebSocketClass });
  chat.send("Hello");
  server.accept();
  server.ack(server.received("user_message")[0], 1);
  server.push(chunk("Hi ", 0));
  const done = { metadata: { streaming: "false", done: "true" }, seq: 2, message_id: "m2", content_length: 8 };
  server.push(chunk("there", 3, done));
  chat.send("And now?");
  const [, second] = server.received("user_message");
  assert.ok(second.session_id, "the second message goes to the session that the first one has opened");
  server.push(refusal(second.ref, { code: "SERVICE_ERROR", message: "No.", reference: "E-7KQ4-M2XW" }));
  chat.close();
  assert.deepEqual(shown, [
    ["you", "Hello"],
    ["r1", ""],
    ["r1", "Hi "],
    ["r1", "Hi there"],
    ["failure", "No.", "E-7KQ4-M2XW"],
  ]);
});

it("names every method and event of the module, and no other", async () => {
  const { ChatClient } = await import(MODULE.href);
  const methods = Object.getOwnPropertyNames(ChatClient.prototype);
  const hidden = new Set(["constructor", "state", "unopened", "ping"]);
  const named = new Set([...guide.matchAll(/`(\w+)\(/g)].map(([, name]) => name));
  assert.deepEqual([...named].sort(), methods.filter((name) => !hidden.has(name)).sort());
});
