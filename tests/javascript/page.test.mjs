/** What the page remembers: of conversations, of answers that were not seen, of what was typed. */

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";

import { Activity } from "../../chat/static/chat/page/activity.js";
import { Drafts } from "../../chat/static/chat/page/drafts.js";
import { helpLink } from "../../chat/static/chat/page/error_card.js";
import { Histories } from "../../chat/static/chat/page/histories.js";
import { readSessions } from "../../chat/static/chat/page/session_pages.js";
import { Tab } from "../../chat/static/chat/page/tab.js";
import { MemoryStorage } from "./fake_server.mjs";

const question = (seq) => ({ session_id: "s", message_id: `m${seq}`, seq, sender: "user", content: `text ${seq}` });

describe("what was last known of a conversation", () => {
  it("is what was loaded and what came since, in order", () => {
    const histories = new Histories();
    histories.note(question(1)); // of one that was never open
    assert.equal(histories.get("s"), null);
    histories.keep({ session: { session_id: "s", title: "Apples" }, messages: [question(3)], has_more: true });
    histories.note(question(5));
    histories.note(question(4));
    const { session, messages, has_more } = histories.get("s");
    assert.deepEqual([session.title, has_more], ["Apples", true]);
    assert.deepEqual(messages.map(({ seq }) => seq), [3, 4, 5]);
    histories.forget("s");
    assert.equal(histories.get("s"), null);
  });

  it("tells how an answer failed", () => {
    const histories = new Histories();
    histories.keep({ session: { session_id: "s" }, messages: [question(1)], has_more: false });
    const failure = { session_id: "s", message_id: "m1", reply_id: "r", state: "failed", error: { code: "X" }, text: "" };
    histories.noteEnd(failure);
    const { reply } = histories.get("s").messages[0];
    assert.deepEqual(reply, { reply_id: "r", state: "failed", error: { code: "X" }, text: "" });
  });

  it("tells that a failed answer was made good, and keeps the text that it had left", () => {
    const histories = new Histories();
    histories.keep({ session: { session_id: "s" }, messages: [question(1), question(4)], has_more: false });
    const about = { session_id: "s", message_id: "m1" };
    histories.noteEnd({ ...about, reply_id: "r1", state: "partial", error: { code: "X" }, text: "The beginning" });
    histories.noteEnd({ ...about, reply_id: "r2", state: "failed", error: { code: "Y" }, text: "" });
    const reply = { reply_id: "r3", state: "complete" };
    const answer = { session_id: "s", message_id: "a", seq: 3, sender: "ai", content: "All", in_reply_to: "m1", reply };
    histories.note(answer);
    const [asked, begun, ...others] = histories.get("s").messages;
    assert.deepEqual(asked.reply, reply);
    assert.deepEqual([begun.in_reply_to, begun.content], ["m1", "The beginning"]);
    assert.deepEqual(begun.reply, { reply_id: "r1", state: "partial", error: { code: "X" } });
    assert.deepEqual(others, [answer, question(4)]);
  });

  it("tells which answer a failed one was to continue", () => {
    const histories = new Histories();
    histories.keep({ session: { session_id: "s" }, messages: [question(1)], has_more: false });
    histories.noteEnd({ session_id: "s", message_id: "m1", reply_id: "r2", state: "failed", text: "", continues: "r1" });
    assert.equal(histories.get("s").messages[0].reply.continues, "r1");
  });

  it("is forgotten of those that were opened long ago", () => {
    const histories = new Histories();
    for (let n = 0; n < 21; n += 1) histories.keep({ session: { session_id: `s${n}` }, messages: [], has_more: false });
    assert.equal(histories.get("s0"), null);
    assert.ok(histories.get("s20"));
  });
});

describe("what goes on in a conversation", () => {
  let seen;
  let changed;
  let activity;

  beforeEach(() => {
    seen = new Set();
    changed = [];
    activity = new Activity({ isSeen: (id) => seen.has(id), onChange: (id) => changed.push(id) });
  });

  it("is an answer that is written, then one that was not seen", () => {
    activity.noteReply({ session_id: "s", reply_id: "r", state: "pending" });
    activity.noteReply({ session_id: "s", reply_id: "r", state: "streaming" });
    assert.equal(activity.markOf("s"), "writing");
    activity.noteEnd({ session_id: "s", reply_id: "r" });
    assert.equal(activity.markOf("s"), "unread");
    assert.equal(activity.unreadCount, 1);
    activity.see("s");
    assert.equal(activity.markOf("s"), null);
    assert.deepEqual(changed, ["s", "s", "s"]); // and not with every piece
  });

  it("is an answer that failed, until a good one comes", () => {
    activity.noteEnd({ session_id: "s", reply_id: "r", state: "failed" });
    assert.deepEqual([activity.markOf("s"), activity.unreadMark], ["failed", "failed"]);
    activity.noteEnd({ session_id: "t", reply_id: "q", state: "complete" });
    assert.deepEqual([activity.markOf("s"), activity.unreadMark, activity.unreadCount], ["failed", "unread", 2]);
    activity.noteEnd({ session_id: "s", reply_id: "p", state: "partial" });
    assert.equal(activity.markOf("s"), "unread");
  });

  it("is still told of a conversation that was opened and left before it was loaded", () => {
    activity.noteReply({ session_id: "s", reply_id: "r", state: "streaming" });
    activity.see("s");
    assert.equal(activity.markOf("s"), "writing");
    activity.noteEnd({ session_id: "s", reply_id: "r", state: "complete" });
    activity.forgetWriting("s");
    assert.equal(activity.markOf("s"), "unread");
    activity.forget("s");
    assert.equal(activity.markOf("s"), null);
  });

  it("is nothing new where the person looks on, or has stopped it", () => {
    seen.add("s");
    activity.noteReply({ session_id: "s", reply_id: "r", state: "streaming" });
    activity.noteEnd({ session_id: "s", reply_id: "r" });
    activity.noteReply({ session_id: "t", reply_id: "q", state: "streaming" });
    activity.noteReply({ session_id: "t", reply_id: "q", state: "stopped" });
    assert.deepEqual([activity.markOf("s"), activity.markOf("t"), activity.unreadCount], [null, null, 0]);
  });
});

describe("a draft", () => {
  it("follows its conversation to another name, before what is typed there", () => {
    const drafts = new Drafts(new MemoryStorage(), "1");
    drafts.set("opener", "one");
    drafts.move("opener", "session");
    assert.deepEqual([drafts.get("opener"), drafts.get("session")], ["", "one"]);
    drafts.set(null, "two");
    drafts.move("session", null);
    assert.equal(drafts.get(null), "one\ntwo");
  });

  it("is kept by the page where there is no room for it in the storage", () => {
    const stored = new MemoryStorage();
    const write = (key, value) => {
      if (value.includes("more")) throw new DOMException("full", "QuotaExceededError");
      stored.setItem(key, value);
    };
    const full = { getItem: stored.getItem, removeItem: stored.removeItem, setItem: write };
    for (const storage of [undefined, full]) {
      const drafts = new Drafts(storage, "1");
      drafts.set("a", "a line");
      drafts.set("a", "a line and more");
      drafts.set("b", "another");
      assert.deepEqual([drafts.get("a"), drafts.get("b")], ["a line and more", "another"]);
      drafts.set("a", "");
      assert.deepEqual([drafts.get("a"), drafts.get("b")], ["", "another"]);
    }
    assert.equal(new Drafts(stored, "1").get("b"), "another"); // there is room again
  });

  it("of a new conversation belongs to its tab", () => {
    const storage = new MemoryStorage();
    const [one, two] = ["one", "two"].map((tab) => new Drafts(storage, "1", tab));
    one.set(null, "a long text");
    two.set(null, "b");
    assert.deepEqual([one.get(null), two.get(null)], ["a long text", "b"]);
    one.set("session", "both know it");
    assert.equal(two.get("session"), "both know it");
  });

  it("of a new conversation is found by the next tab when its own is closed", () => {
    const storage = new MemoryStorage();
    new Drafts(storage, "1").set(null, "of a tab without a name");
    for (const tab of ["one", "two"]) {
      const drafts = new Drafts(storage, "1", tab);
      drafts.set(null, `typed in ${tab}`);
      drafts.leave();
    }
    const reloaded = new Drafts(storage, "1", "one");
    const next = new Drafts(storage, "1", "three");
    assert.deepEqual([reloaded.get(null), next.get(null)], ["typed in one", "typed in two"]);
    next.set(null, "");
    assert.deepEqual([next.get(null), reloaded.get(null)], ["of a tab without a name", "typed in one"]);
    reloaded.leave();
    reloaded.comeBack();
    next.set(null, "");
    assert.equal(next.get(null), "");
  });
});

describe("messages that a tab has not sent", () => {
  let local;

  beforeEach(() => {
    local = new MemoryStorage();
  });

  /** A tab whose outbox holds the messages with these refs. */
  function startTab(refs, session = new MemoryStorage()) {
    const items = refs.map((ref) => ({ ref, content: `text ${ref}` }));
    if (items.length) session.setItem("outbox", JSON.stringify(items));
    const tab = new Tab({ session, local, outboxKey: "outbox", userId: "1" });
    return { tab, session, refs: () => JSON.parse(session.getItem("outbox") ?? "[]").map(({ ref }) => ref) };
  }

  it("are found by the next one when it is closed", () => {
    for (const refs of [["a", "b"], ["c"], []]) startTab(refs).tab.leave();
    const next = startTab(["d"]);
    next.tab.takeLeft();
    assert.deepEqual(next.refs(), ["d", "a", "b", "c"]);
    const later = startTab([]);
    later.tab.takeLeft();
    assert.deepEqual(later.refs(), []);
  });

  it("are its own again when it was only reloaded, or put aside", () => {
    const { tab, session, refs } = startTab(["a"]);
    tab.leave();
    startTab([], session).tab.takeLeft();
    assert.deepEqual(refs(), ["a"]);
    tab.leave();
    tab.comeBack();
    const other = startTab([]);
    other.tab.takeLeft();
    assert.deepEqual(other.refs(), []);
  });

  it("wait for another one where there is no room, and are nobody's after signing out", () => {
    const full = { getItem: () => null, setItem: () => assert.fail("full") };
    startTab(["a"]).tab.leave();
    for (const session of [undefined, full]) new Tab({ session, local, outboxKey: "outbox", userId: "1" }).takeLeft();
    const next = startTab([]);
    next.tab.takeLeft();
    assert.deepEqual(next.refs(), ["a"]);
    next.tab.leave();
    next.tab.forgetAll();
    const later = startTab([]);
    later.tab.takeLeft();
    assert.deepEqual([next.refs(), later.refs()], [[], []]);
  });
});

describe("the list of conversations", () => {
  /** An API that has this many sessions, and gives five at a time. */
  function apiOf(count) {
    const all = Array.from({ length: count }, (_, n) => ({ session_id: `s${n}` }));
    const asked = [];
    const sessions = async ({ limit, cursor = 0 }) => {
      asked.push(limit);
      const next = Number(cursor) + Math.min(limit, 5);
      return { sessions: all.slice(Number(cursor), next), has_more: next < count, next: String(next) };
    };
    return { api: { sessions }, asked };
  }

  it("is read on until there are as many as are wanted", async () => {
    const { api, asked } = apiOf(20);
    const first = await readSessions(api, { limit: 12 });
    assert.deepEqual([first.sessions.length, first.next, asked], [12, "12", [12, 7, 2]]);
    const more = await readSessions(api, { limit: 12, cursor: first.next });
    assert.deepEqual([more.sessions[0].session_id, more.sessions.length, more.next], ["s12", 8, null]);
  });
});

describe("a link to the page of a code", () => {
  for (const address of [
    "//evil.example", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "/ /evil.example", "/a\\b", "evil", "javascript:1",
    null, undefined, 1,
  ]) {
    it(`does not lead to ${JSON.stringify(address)}`, () => assert.equal(helpLink({ help_url: address }), false));
  }
});
