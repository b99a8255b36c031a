/** The connection: when it comes back, when not, and after how long. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";

import { FakeServer, SESSION, clock, refusal, startClient, startInSession } from "./fake_server.mjs";

beforeEach(clock.start);
afterEach(clock.stop);

describe("the states of a connection", () => {
  it("is open when the server has said who we are, not when the socket is", () => {
    const { client, server } = startClient();
    assert.equal(client.state, "idle");
    client.connect();
    assert.equal(client.state, "connecting");
    assert.deepEqual(server.socket.protocols, ["chat.v1"]);
    server.accept();
    assert.equal(client.state, "open");
  });

  it("opens one socket however often it is asked to connect", () => {
    const { client, server } = startClient();
    client.connect();
    client.connect();
    server.accept();
    client.connect();
    assert.equal(server.sockets.length, 1);
  });

  it("does not come back after its own close", () => {
    const { client, server } = startInSession();
    client.close();
    assert.equal(client.state, "closed");
    assert.equal(server.socket.closedWith, 1000);
    server.close(1000);
    clock.pass(600_000);
    assert.equal(server.sockets.length, 1);
    client.connect();
    assert.equal(server.sockets.length, 2);
  });

  it("gives up a handshake that takes too long", () => {
    const { client, server } = startClient();
    client.connect();
    clock.pass(15_000);
    assert.equal(client.state, "waiting");
    clock.pass(250);
    assert.equal(server.sockets.length, 2);
  });

  it("ignores what is no frame, and frames it does not know", () => {
    const { client, server, told } = startInSession();
    const before = told.length;
    for (const data of ["", "{", "[]", "null", "7", '{"type":7}', '{"type":"toString"}', '{"type":"constructor"}']) {
      server.socket.onmessage({ data });
    }
    assert.equal(client.state, "open");
    assert.equal(told.length, before);
  });
});

describe("coming back", () => {
  for (const [code, comesBack] of [
    [1000, true], [1001, true], [1006, true], [1011, true], [3000, true], [4000, true], [4001, true], [4400, true],
    [4405, true], [4408, true], [4429, true], [4499, true], [4500, false], [4501, false], [4502, false], [4503, false],
    [4999, false],
  ]) {
    it(`${comesBack ? "comes back" : "stays away"} after ${code}`, () => {
      const { client, server, of } = startInSession();
      server.close(code);
      assert.equal(client.state, comesBack ? "waiting" : "closed");
      assert.equal(of("state").at(-1).code, code);
      clock.pass(600_000);
      assert.equal(server.sockets.length > 1, comesBack);
    });
  }

  it("doubles the cap of its jittered delay up to half a minute", () => {
    const { client, server, of } = startClient();
    client.connect();
    const delays = [];
    for (let round = 0; round < 9; round += 1) {
      server.close();
      delays.push(of("state").at(-1).retryAt - Date.now());
      clock.pass(delays.at(-1));
    }
    assert.deepEqual(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    assert.equal(server.sockets.length, 10);
  });

  it("starts the delay over once a session is bound, not before", () => {
    const { client, server, of } = startClient();
    client.connect();
    for (const wait of [250, 500, 1_000]) {
      server.accept();
      server.close();
      assert.equal(of("state").at(-1).retryAt - Date.now(), wait);
      clock.pass(wait);
    }
    server.accept();
    client.say({ content: "Hello" });
    server.ack(server.received("user_message")[0], 1);
    server.close();
    assert.equal(of("state").at(-1).retryAt - Date.now(), 250);
  });

  it("starts the delay over after a connection that lasted, bound or not", () => {
    const { client, server, of } = startClient();
    client.connect();
    server.close();
    clock.pass(250);
    server.accept();
    clock.pass(10_000);
    server.close();
    assert.equal(of("state").at(-1).retryAt - Date.now(), 250);
  });

  it("obeys the goodbye of a server that restarts, also when woken", () => {
    const { client, server, of } = startInSession();
    server.push({ type: "goodbye", reason: "restarting", reconnect_in: 4_000 });
    server.close(4000);
    const { heldUntil, retryAt } = of("state").at(-1);
    assert.deepEqual([heldUntil - Date.now(), retryAt - Date.now()], [4_000, 4_000]);
    client.wake();
    clock.pass(3_999);
    assert.equal(server.sockets.length, 1);
    clock.pass(1);
    assert.equal(server.sockets.length, 2);
  });

  for (const code of [4405, 4429]) {
    it(`stays away for the retry_after told before ${code}`, () => {
      const { server } = startInSession();
      server.push(refusal(undefined, { code: "CONNECTION_LIMIT_EXCEEDED", retry_after: 5_000 }));
      server.close(code);
      clock.pass(5_249);
      assert.equal(server.sockets.length, 1);
      clock.pass(1);
      assert.equal(server.sockets.length, 2);
    });
  }

  it("does not let a nonsense wait stop it for ever", () => {
    const { server } = startInSession();
    server.push({ type: "goodbye", reconnect_in: 1e12 });
    server.close(4000);
    clock.pass(600_000);
    assert.equal(server.sockets.length, 2);
  });
});

describe("a socket that cannot even be made", () => {
  it("is tried again later, and whoever wrote the page is told why", () => {
    const told = mock.method(console, "error", () => {});
    const server = new FakeServer();
    const { WebSocketClass } = server;
    let isAllowed = false;
    const { client } = startClient({
      server,
      WebSocketClass: function (...facts) {
        if (!isAllowed) throw new DOMException("not allowed", "SecurityError");
        return new WebSocketClass(...facts);
      },
    });
    client.connect();
    assert.equal(client.state, "waiting");
    assert.equal(told.mock.calls[0].arguments[0].name, "SecurityError");
    isAllowed = true;
    clock.pass(250);
    server.accept();
    assert.equal(client.state, "open");
    told.mock.restore();
  });
});

describe("silence and waking", () => {
  it("takes a connection for dead after two and a half heartbeats of silence", () => {
    const { client, server } = startClient();
    client.connect();
    server.accept({ heartbeat_interval: 20_000 });
    clock.pass(49_000);
    server.push({ type: "heartbeat", top: {} });
    clock.pass(49_999);
    assert.equal(client.state, "open");
    clock.pass(1);
    assert.equal(client.state, "waiting");
  });

  it("tries at once when woken while it waits", () => {
    const { client, server } = startInSession();
    server.close();
    client.wake();
    assert.equal(server.sockets.length, 2);
    clock.pass(14_000);
    assert.equal(server.sockets.length, 2);
  });

  it("tries at once when woken where the socket has ended without a word", () => {
    const { client, server, of } = startInSession();
    server.socket.readyState = 3;
    client.wake();
    assert.deepEqual(of("state").slice(-2).map(({ state, code }) => [state, code]), [
      ["waiting", 1006],
      ["connecting", undefined],
    ]);
    assert.equal(server.sockets.length, 2);
  });

  it("stays away when woken where the server had asked for it before its socket ended", () => {
    const { client, server } = startInSession();
    server.push({ type: "goodbye", reason: "restarting", reconnect_in: 4_000 });
    server.socket.readyState = 3;
    client.wake();
    clock.pass(3_999);
    assert.equal(server.sockets.length, 1);
    clock.pass(1);
    assert.equal(server.sockets.length, 2);
  });

  it("asks a silent socket for a sign of life when woken", () => {
    const { client, server } = startInSession();
    client.wake();
    assert.equal(server.received("ping").length, 1);
    clock.pass(4_000);
    server.push({ type: "pong" });
    clock.pass(5_000);
    assert.equal(client.state, "open");
    client.wake();
    clock.pass(5_000);
    assert.equal(client.state, "waiting");
  });

  it("asks for a sign of life when nothing answers what was sent, and sends it again over the next connection", () => {
    const { client, server } = startInSession();
    const { ref } = client.say({ content: "Is anybody there?", sessionId: SESSION });
    clock.pass(7_999);
    assert.equal(server.received("ping").length, 0);
    clock.pass(1);
    assert.equal(server.received("ping").length, 1);
    clock.pass(5_000);
    assert.equal(client.state, "waiting");
    clock.pass(500);
    server.accept();
    server.resume([], { to: 0 });
    assert.deepEqual(server.received("user_message").map((frame) => frame.ref), [ref]);
  });

  it("leaves a server alone that is slow but alive", () => {
    const { client, server } = startInSession();
    client.say({ content: "Hi", sessionId: SESSION });
    for (let round = 0; round < 5; round += 1) {
      clock.pass(6_000);
      server.push({ type: "pong" });
    }
    assert.equal(client.state, "open");
    assert.equal(server.received("user_message").length, 1);
  });
});

describe("whose connection it is", () => {
  it("sends nothing in the name of somebody who signed in meanwhile", () => {
    const { client, server, of } = startInSession(0, { userId: "1" });
    server.close();
    client.say({ content: "Mine", sessionId: SESSION });
    client.wake();
    server.accept({ user_id: "2" });
    assert.deepEqual(server.socket.sent, []);
    assert.deepEqual([of("state").at(-1).state, of("state").at(-1).code], ["closed", 4501]);
    assert.equal(client.pending(SESSION).length, 1);
  });
});
