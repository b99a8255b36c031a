/**
 * The chat page: brings together the client (WebSocket), the API (HTTP) and the views.
 *
 * What the server knows at load time is in the JSON element `page-facts` (chat/views.py).
 */

import { ChatClient } from "./client.js";
import { Activity } from "./page/activity.js";
import { Address } from "./page/address.js";
import { Api } from "./page/api.js";
import { Composer } from "./page/composer.js";
import { ConnectionLine } from "./page/connection_line.js";
import { Conversation } from "./page/conversation.js";
import { button, h } from "./page/dom.js";
import { Drafts } from "./page/drafts.js";
import { Histories } from "./page/histories.js";
import { HistoryView } from "./page/history_view.js";
import { listenTo } from "./page/listeners.js";
import { LogView } from "./page/log_view.js";
import { Notices } from "./page/notices.js";
import { Room } from "./page/room.js";
import { SessionHead } from "./page/session_head.js";
import { SessionList } from "./page/session_list.js";
import { ModelPicker, TypingLine, announcer, endButton, wireSidebar, wireStopKey } from "./page/shell.js";
import { strings } from "./page/strings.js";
import { Tab } from "./page/tab.js";
import { UnsentList } from "./page/unsent_list.js";

const STATUS_PATIENCE_MS = 2_000; // for the server to say which conversation is the latest one

const find = (id) => document.getElementById(id);
const facts = JSON.parse(find("page-facts").textContent);
const storageKey = `switchboard.outbox.${facts.user_id}`;
const loginUrl = () => `${facts.login_url}?next=${encodeURIComponent(location.pathname)}`;
const hasPointer = () => matchMedia("(pointer: fine)").matches; // elsewhere the message box would open the keyboard
const announce = announcer(find("announcer"));

// --- The parts ---

const socketUrl = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${facts.socket_path}`;
const storage = storageOrNone("sessionStorage");
const local = storageOrNone("localStorage");
const tab = new Tab({ session: storage, local, outboxKey: storageKey, userId: facts.user_id });
tab.takeLeft();
const client = new ChatClient({ url: socketUrl, userId: facts.user_id, storage, storageKey });
const address = new Address(facts.page_url);
const activity = new Activity({
  isSeen: (sessionId) => room.isHere(sessionId) && document.visibilityState === "visible",
  onChange: (sessionId) => {
    sessions.showMark(sessionId);
    head.showUnread(activity.unreadCount, activity.unreadMark);
    showStop();
  },
});
const histories = new Histories();
const drafts = new Drafts(local, facts.user_id, tab.name);
const typing = new TypingLine(find("typing"));
const csrfToken = document.querySelector("#logout [name=csrfmiddlewaretoken]").value;
const api = new Api(facts.api_prefix, csrfToken, facts.user_id);
const log = new LogView(find("log"), find("jump-to-latest"));
const composer = new Composer(find("composer"), {
  maxChars: facts.max_content_chars,
  onSend: (content) => room.messages.say(content),
  onChange: (text) => room.keepDraft(text),
  onStop: () => stop(),
  onTyping: () => room.current.sessionId && client.typing(room.current.sessionId),
});
const notices = new Notices(find("notices"), () => composer.focus());
const line = new ConnectionLine(find("connection-line"), {
  connect: () => client.connect(),
  wake: () => client.wake(),
  loginUrl,
  announce,
});
const models = new ModelPicker(find("conversation-tools"), (modelId) => {
  conversation.takeModel();
  if (room.current.sessionId) client.selectModel(room.current.sessionId, modelId);
});
const conversation = new Conversation(log.list, {
  retry: (messageId, mode) => client.retry(messageId, { mode, modelId: models.value }),
  stop: (replyId) => client.stop(replyId),
  resend: (ref) => room.messages.resend(ref),
  hold: (ref) => room.messages.hold(ref),
  edit: (ref) => room.messages.edit(ref),
  remove: (ref) => room.messages.remove(ref),
  chooseModel: () => models.open(),
  startNew: () => room.startNew(),
  focus: (exchange) => (hasPointer() ? composer : exchange).focus(),
});
const sessions = new SessionList(find("session-list"), api, {
  urlOf: (sessionId) => address.urlOf(sessionId),
  markOf: (sessionId) => activity.markOf(sessionId),
  open: (sessionId) => room.open(sessionId),
  onChange: (session) => room.takeChange(session),
  onDelete: (sessionId) => room.takeDeletion(sessionId, { isElsewhere: false }),
  onLoad: () => room.takeList(),
  onError: (failure, onRetry) => room.showHttpError(failure, onRetry),
});
const another = button({ text: strings.newConversation, iconName: "plus", onClick: () => room.startNew() });
const historyView = new HistoryView(
  { activity, api, client, conversation, histories, log },
  {
    isCurrent: (opened) => room.current === opened,
    onError: (failure, onRetry) => room.showHttpError(failure, onRetry),
  },
);
const unsent = new UnsentList(find("unsent-list"), (opener) => room.startNew({ opener }));
const head = new SessionHead({
  siteTitle: facts.title,
  title: find("conversation-title"),
  conversation,
  composer,
  log,
  models,
  listOpener: find("sidebar-open"),
  end: endButton(find("conversation-tools"), () => sessions.end(room.current.sessionId)),
  endedNote: find("ended-note"),
  another,
});
const room = new Room({
  facts,
  client,
  activity,
  address,
  log,
  line,
  composer,
  models,
  conversation,
  head,
  histories,
  historyView,
  drafts,
  notices,
  typing,
  sessions,
  unsent,
  loginUrl,
  hasPointer,
  showStop: () => showStop(),
  closeSidebar: wireSidebar({
    sidebar: find("sidebar"),
    backdrop: find("backdrop"),
    openButton: find("sidebar-open"),
    closeButton: find("sidebar-close"),
    behind: [find("conversation"), find("skip-link")],
    focusElsewhere: () => composer.focus(),
  }),
});

wireStopKey({ sidebar: find("sidebar"), stop: () => stop() });
listenTo(client, {
  activity,
  address,
  announce,
  conversation,
  histories,
  line,
  log,
  models,
  notices,
  room,
  sessions,
  typing,
  begin: (latest) => begin(latest),
});

client.addEventListener("state", () => showStop());

/** What is being written in the conversation on the page can be stopped wherever the person has scrolled to. */
function showStop() {
  composer.isAnswering = client.state === "open" && activity.isWriting(room.current.sessionId);
}

function stop() {
  if (client.state !== "open") return; // it would be asked for much later
  for (const replyId of activity.writingIn(room.current.sessionId)) client.stop(replyId);
}

// --- Beginning, coming back, leaving ---

function showAddress() {
  const { sessionId } = address;
  if (sessionId) room.open(sessionId, { isNewEntry: false });
  else room.startNew({ isNewEntry: false, opener: openerHere() });
}

/** What was written here and is not sent yet; where nothing else was asked for, the newest of what is not sent. */
function openerHere() {
  const openers = client.unopened.map(({ opener }) => opener);
  if (openers.includes(address.opener)) return address.opener;
  return address.isFresh ? null : (openers.at(-1) ?? null);
}

// A new conversation is where the person left off, if that was asked for (kept over a reload) or is not sent yet.
const untouched = room.current;
let hasBegun = Boolean(facts.session_id || address.isFresh || client.unopened.length);

/** Without anything else to show, go on with the latest conversation. */
function begin(latestSessionId) {
  if (hasBegun || room.current !== untouched || room.current.opener) return; // the person was faster
  hasBegun = true;
  if (latestSessionId && composer.isEmpty) address.correct({ sessionId: latestSessionId });
  showAddress();
}

for (const id of ["new-conversation", "sidebar-open", "sidebar-close", "composer-text"]) find(id).disabled = false;
find("new-conversation").addEventListener("click", () => room.startNew());
find("ended-note").append(h("span", {}, strings.ended), another);

find("logout").addEventListener("submit", () => {
  client.close();
  tab.forgetAll(); // what was not sent stays with nobody
  drafts.forgetAll();
});

// Who signs in again in one tab has done so in all of them. This page's own form tokens are those of the old sign-in.
const tabs = new BroadcastChannel("switchboard.tabs");
tabs.addEventListener("message", ({ data }) => {
  if (data?.signedIn === facts.user_id && line.needsSignIn) location.reload();
});
tabs.postMessage({ signedIn: facts.user_id });

addEventListener("popstate", () => {
  if (!address.isOf(room.current)) showAddress();
});
for (const change of ["online", "offline"]) addEventListener(change, () => client.wake()); // is the socket alive?
addEventListener("pagehide", () => {
  tab.leave();
  drafts.leave();
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  tab.comeBack();
  drafts.comeBack();
  client.wake();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  client.wake();
  activity.see(room.current.sessionId);
  sessions.refreshSoon(); // what was said on another device in a conversation that is not open here
});

room.messages.list();
if (hasBegun) showAddress();
else setTimeout(() => begin(null), STATUS_PATIENCE_MS);
sessions.load();
if (isAllowedHere()) client.connect();

/** Whether a page of this origin may open a socket: if not, every try would be refused, and none says why. */
function isAllowedHere() {
  const { allowed_origins: allowed, is_development } = facts;
  if (!allowed || allowed.includes(location.origin)) return true;
  conversation.setConnection({ state: "closed" });
  line.showRefused(is_development ? strings.wrongOrigin(location.origin, allowed) : strings.wrongAddress);
  return false;
}

/** Some privacy settings forbid the storage. @param {"sessionStorage"|"localStorage"} kind */
function storageOrNone(kind) {
  try {
    return globalThis[kind];
  } catch {
    return undefined;
  }
}
