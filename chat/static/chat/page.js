/**
 * The chat page: brings together the client (WebSocket), the API (HTTP) and the views.
 *
 * What the server knows at load time is in the JSON element `page-facts` (chat/views.py).
 */

import { ChatClient } from "./client.js";
import { Api } from "./page/api.js";
import { Composer } from "./page/composer.js";
import { ConnectionLine } from "./page/connection_line.js";
import { Conversation } from "./page/conversation.js";
import { button, h, icon } from "./page/dom.js";
import { Drafts } from "./page/drafts.js";
import { listenTo } from "./page/listeners.js";
import { LogView } from "./page/log_view.js";
import { Notices } from "./page/notices.js";
import { Room } from "./page/room.js";
import { SessionList } from "./page/session_list.js";
import { ModelPicker, TypingLine, announcer, endButton, wireSidebar } from "./page/shell.js";
import { strings } from "./page/strings.js";

const STATUS_PATIENCE_MS = 2_000; // for the server to say which conversation is the latest one

const find = (id) => document.getElementById(id);
const facts = JSON.parse(find("page-facts").textContent);
const storageKey = `switchboard.outbox.${facts.user_id}`;
const loginUrl = () => `${facts.login_url}?next=${encodeURIComponent(location.pathname)}`;
const urlOf = (sessionId) => `${facts.page_url}s/${sessionId}/`;
const hasPointer = () => matchMedia("(pointer: fine)").matches; // elsewhere the message box would open the keyboard
const announce = announcer(find("announcer"));

// --- The parts ---

const socketUrl = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${facts.socket_path}`;
const storage = storageOrNone("sessionStorage");
const client = new ChatClient({ url: socketUrl, userId: facts.user_id, storage, storageKey });
const drafts = new Drafts(storageOrNone("localStorage"), facts.user_id);
const typing = new TypingLine(find("typing"));
const api = new Api(facts.api_prefix, document.querySelector("#logout [name=csrfmiddlewaretoken]").value);
const log = new LogView(find("log"), find("jump-to-latest"));
const composer = new Composer(find("composer"), {
  maxChars: facts.max_content_chars,
  onSend: (content) => room.say(content),
  onChange: (text) => room.keepDraft(text),
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
  resend: (ref) => room.resend(ref),
  hold: (ref) => room.hold(ref),
  edit: (ref) => composer.insert(room.remove(ref)),
  remove: (ref) => room.remove(ref),
  chooseModel: () => models.open(),
  startNew: () => room.startNew(),
  focus: (exchange) => (hasPointer() ? composer : exchange).focus(),
});
const sessions = new SessionList(find("session-list"), api, {
  urlOf,
  open: (sessionId) => room.open(sessionId),
  onChange: (session) => room.takeChange(session),
  onDelete: (sessionId) => room.takeDeletion(sessionId),
  onError: (failure, onRetry) => room.showHttpError(failure, onRetry),
});
const room = new Room({
  facts,
  client,
  api,
  log,
  line,
  composer,
  models,
  conversation,
  drafts,
  notices,
  typing,
  sessions,
  loginUrl,
  urlOf,
  title: find("conversation-title"),
  endedNote: find("ended-note"),
  end: endButton(find("conversation-tools"), () => sessions.end(room.current.sessionId)),
  hasPointer,
  closeSidebar: wireSidebar({
    sidebar: find("sidebar"),
    backdrop: find("backdrop"),
    openButton: find("sidebar-open"),
    closeButton: find("sidebar-close"),
  }),
});

listenTo(client, {
  announce, conversation, line, log, models, notices, room, sessions, typing, urlOf, begin: (latest) => begin(latest),
});

// --- Beginning, coming back, leaving ---

/** The session named by the address, if any. */
function sessionInAddress() {
  const [, id] = location.pathname.match(/\/s\/([0-9a-f-]{36})\/$/) ?? [];
  return id ?? null;
}

function showAddress() {
  const sessionId = sessionInAddress();
  if (sessionId) room.open(sessionId, { isNewEntry: false });
  else room.startNew({ isNewEntry: false, opener: client.unopened });
}

// A new conversation is where the person left off, if that was asked for (kept over a reload) or is not sent yet.
const untouched = room.current;
let hasBegun = Boolean(facts.session_id || history.state?.isFresh || client.unopened);

/** Without anything else to show, go on with the latest conversation. */
function begin(latestSessionId) {
  if (hasBegun || room.current !== untouched || room.current.opener) return; // the person was faster
  hasBegun = true;
  if (latestSessionId && composer.isEmpty) history.replaceState(null, "", urlOf(latestSessionId));
  showAddress();
}

find("new-conversation").append(icon("plus"), strings.newConversation);
find("new-conversation").addEventListener("click", () => room.startNew());
const another = button({ text: strings.newConversation, iconName: "plus", onClick: () => room.startNew() });
find("ended-note").append(h("span", {}, strings.ended), another);

find("logout").addEventListener("submit", () => {
  client.close();
  storageOrNone("sessionStorage")?.removeItem(storageKey); // what was not sent stays with nobody
  drafts.forgetAll();
});
addEventListener("popstate", () => {
  if (sessionInAddress() !== room.current.sessionId) showAddress(); // not for a link within the page
});
for (const change of ["online", "offline"]) addEventListener(change, () => client.wake()); // is the socket alive?
addEventListener("pageshow", (event) => event.persisted && client.wake());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  client.wake();
  sessions.refreshSoon(); // what was said on another device in a conversation that is not open here
});

if (hasBegun) showAddress();
else setTimeout(() => begin(null), STATUS_PATIENCE_MS);
sessions.load();
client.connect();

/** Some privacy settings forbid the storage. @param {"sessionStorage"|"localStorage"} kind */
function storageOrNone(kind) {
  try {
    return globalThis[kind];
  } catch {
    return undefined;
  }
}
