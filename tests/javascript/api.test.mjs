/** The JSON API as the page asks it: whatever a server, a proxy or the network does, there is an answer or a failure. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";

import { Api, ApiError } from "../../chat/static/chat/page/api.js";
import { clock } from "./fake_server.mjs";

const HISTORY = JSON.stringify({ session: { session_id: "s" }, messages: [], has_more: false });
const api = new Api("/chat", "token");

beforeEach(clock.start);
afterEach(() => {
  clock.stop();
  mock.restoreAll();
});

/** What the browser does with a request; `signal` is that of the request. */
function answer(respond) {
  mock.method(globalThis, "fetch", (address, { signal }) => respond(signal));
}

/** A body that begins like this and then breaks off, at once or when the request is given up. */
function unfinished(begin, signal) {
  return new ReadableStream({
    start(body) {
      body.enqueue(new TextEncoder().encode(begin));
      if (signal) signal.addEventListener("abort", () => body.error(signal.reason));
      else body.close();
    },
  });
}

const failureOf = (promise) => promise.then(() => assert.fail("it was answered"), (failure) => failure);

describe("the API", () => {
  it("returns what was asked for", async () => {
    answer(async () => new Response(HISTORY));
    assert.deepEqual(await api.history("s"), JSON.parse(HISTORY));
  });

  for (const [name, body] of [
    ["the sign-in page of a proxy", "<!doctype html><title>Sign in</title>"], ["nothing", ""], ["no object", "null"],
    ["what breaks off", unfinished(HISTORY.slice(0, 20))],
  ]) {
    it(`takes ${name} for no answer`, async () => {
      answer(async () => new Response(body));
      const failure = await failureOf(api.history("s"));
      assert.ok(failure instanceof ApiError, failure);
      const { status, error } = failure;
      assert.deepEqual([status, error], [0, { message: "This could not be loaded.", actions: ["retry"] }]);
    });
  }

  it("has a sentence and a way on where an error is not told in its own words", async () => {
    for (const body of ["<title>502</title>", "null"]) {
      answer(async () => new Response(body, { status: 502 }));
      const { status, error } = await failureOf(api.sessions());
      assert.deepEqual([status, error], [502, { message: "This could not be loaded.", actions: ["retry"] }]);
    }
  });

  for (const [name, respond, status] of [
    ["no answer", (signal) => new Promise((_, reject) => signal.addEventListener("abort", reject)), 0],
    ["an answer that does not end", async (signal) => new Response(unfinished("{", signal)), 0],
    ["an error that does not end", async (signal) => new Response(unfinished("{", signal), { status: 503 }), 503],
  ]) {
    it(`does not wait for ever for ${name}`, async () => {
      answer(respond);
      let failure;
      const settled = failureOf(api.rename("s", "Pears")).then((found) => (failure = found));
      await new Promise(setImmediate);
      clock.pass(19_999);
      await new Promise(setImmediate);
      assert.equal(failure, undefined);
      clock.pass(1);
      await settled;
      assert.ok(failure instanceof ApiError, failure);
      assert.equal(failure.status, status);
    });
  }
});
