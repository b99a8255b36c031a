/** Every English word that the page's scripts show, in one table. What the server renders comes from the templates. */

export const strings = {
  you: "You",
  assistant: "Assistant",
  newConversation: "New conversation",
  untitled: "New conversation",
  unknownTitle: "Conversation",
  missingTitle: "Conversation not found",
  missing: "This conversation does not exist, or it is not yours.",
  conversationTitle: (title, site) => `${title} – ${site}`,

  // Composer
  hint: "Enter sends, Shift + Enter starts a new line",
  typingElsewhere: "You are typing on another device",
  charactersLeft: (left) => `${left} characters left`,
  charactersOver: (over) =>
    `${over.toLocaleString("en")} ${over === 1 ? "character" : "characters"} too long. Please shorten the message.`,
  ended: "This conversation has ended. You can still read it.",

  // The empty conversation
  welcome: "How can I help?",
  welcomeMore: "Ask anything, or begin with one of these.",
  welcomeAlone: "Ask anything.",
  faultsMore: "See what a failure looks like:",
  faultSuggestions: ["/fault unavailable", "/fault midstream", "/fault ratelimit", "/fault database", "/fault slow"],

  // What became of a message
  states: {
    sending: "Sending",
    waiting: "Not sent yet, waiting for the connection",
    signedOut: "Not sent yet. Sign in to send it.",
    repeating: "Not sent yet, trying again",
    behind: "Waiting for the message before it",
    queued: "Sent when another answer is finished",
    askedLater: "Asked again when another answer is finished",
    saved: "Saved",
    answered: "Answered",
    partial: "Answered in part",
    stopped: "Answer stopped",
    failed: "Saved, no answer",
    rejected: "Not sent",
    unknown: "Perhaps not saved",
  },
  thinking: "Thinking",
  writing: "Writing",
  reconnecting: "Waiting for the connection",
  replyPartial: "Cut off here",
  replyStopped: "Stopped here",
  replyStoppedEmpty: "Stopped before its first word",
  stop: "Stop",
  continueReply: "Continue",
  continuing: "Continuing",
  continued: "Continued",
  continuedExplained: "This answer broke off, and was continued from there",

  // Inside an answer
  code: "Code",
  codeIn: (language) => `Code, ${language}`,
  copy: "Copy",
  copyCode: "Copy this code",
  copyReply: "Copy this answer",
  copyQuestion: "Copy this message",
  unfold: "Show all of it",
  fold: "Show less",
  table: "Table",
  taskDone: "Done:",
  taskOpen: "To do:",

  // Errors
  outcomes: {
    rejected: "Your message was not sent.",
    saved: "Your message is saved.",
    partial: "Your message and the beginning of the answer are saved.",
    unknown: "It is not certain whether your message was saved. Sending it again is safe.",
  },
  tryAgain: "Try again",
  tryAgainIn: (seconds) => `Try again in ${seconds} s`,
  tryingAgainIn: (seconds) => `Trying again automatically in ${seconds} s`,
  cancelRepetition: "Do not try again",
  past: {
    sent: (count) => `Sent after ${failures(count)}`,
    asked: (count) => `Asked again after ${failures(count)}`,
    answered: (count) => `Answered after ${failures(count)}`,
    continued: (count) => `Continued after ${failures(count)}`,
  },
  askingAgain: "Asking again",
  sendAgain: "Send again",
  sendingAgain: "Sending again",
  edit: "Edit",
  remove: "Remove",
  chooseModel: "Choose another model",
  signIn: "Sign in",
  signInAgain: "Please sign in again",
  whatItMeans: "What does this mean?",
  reference: "Reference",
  copyReference: (reference) => `Copy reference ${reference}`,
  copied: "Copied",
  times: (count) => `(${count} times)`,
  inConversation: (title) => `In “${title}”:`,
  notLoaded: "This could not be loaded.",
  notDone: "This could not be done. Please try again.",

  // Connection
  connecting: "Connecting",
  connectionLost: "Connection lost.",
  offline: "You are offline.",
  restarting: "The service is restarting.",
  reconnectingIn: (seconds) => `Next try in ${seconds} s.`,
  reconnectingNow: "Trying again now.",
  tryNow: "Try now",
  wrongAddress: "The chat cannot be used at this address. Open it at its usual one, or tell whoever runs it.",
  wrongOrigin: (origin, allowed) =>
    `This page has the origin ${origin}, which CHAT_ALLOWED_ORIGINS (or CHAT["allowed_origins"]) does not list. It has ` +
    `${allowed.join(", ") || "none"}. Without it no socket is opened.`,
  noAccess: "You do not have access to this chat.",
  disconnected: "You are not connected.",
  connect: "Connect",
  connected: "Connected",
  dismiss: "Dismiss",

  // Conversations
  noConversations: "Your conversations will be listed here.",
  notSentYet: "Not sent yet",
  showMore: "Show more",
  showEarlier: "Show earlier messages",
  earlierUnprinted: "Earlier messages were not shown on the page, so they are missing here.",
  loading: "Loading",
  latest: "Latest messages",
  endedMark: "ended",
  marks: { writing: "Writing", unread: "New answer", failed: "Failed answer" },
  unreadTitle: (count, title) => `(${count}) ${title}`,
  more: "More",
  moreAbout: (title) => `More about ${title}`,
  rename: "Rename",
  renameLabel: "Name of the conversation",
  delete: "Delete",
  deleteQuestion: "Delete this conversation?",
  deleteExplained: (title) => `“${title}” and everything said in it will be gone. This cannot be undone.`,
  deletedElsewhere: (title) => `“${title}” was deleted on another device.`,
  deletedElsewhereKept: (title) =>
    `${strings.deletedElsewhere(title)} What you had not sent yet is in the message box of your next conversation.`,
  end: "End conversation",
  endQuestion: "End this conversation?",
  endExplained: "You can still read it, but nobody can write in it any more.",
  cancel: "Cancel",
  model: "Model",

  // Said to screen readers
  announceReply: (text) => `Assistant: ${spoken(text)}`,
  announceOwn: (text) => `You, on another device: ${text}`,
  announceElsewhere: (title) => `There is a new answer in “${title}”.`,
  announceFailedElsewhere: (title) => `The answer in “${title}” failed.`,
  announceError: (message, outcome, seconds) =>
    ["Error:", message, outcome, seconds && `${strings.tryingAgainIn(seconds)}.`].filter(Boolean).join(" "),
  announceThinking: "The assistant is thinking",
};

function failures(count) {
  return count === 1 ? "a failure" : `${count} failures`;
}

const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "medium" });

/** "14:05" for today, "Mar 3" for other days, with the year if it is another one. */
export function shortTime(timestamp) {
  const moment = new Date(timestamp);
  return isToday(moment) ? TIME.format(moment) : dayOf(moment);
}

/** "14:05" for today, "Mar 3, 14:05" for other days. */
export function momentTime(timestamp) {
  const moment = new Date(timestamp);
  return isToday(moment) ? TIME.format(moment) : `${dayOf(moment)}, ${TIME.format(moment)}`;
}

export function fullTime(timestamp) {
  return FULL.format(new Date(timestamp));
}

function isToday(moment) {
  return moment.toDateString() === new Date().toDateString();
}

function dayOf(moment) {
  return (moment.getFullYear() === new Date().getFullYear() ? DAY : DAY_OF_YEAR).format(moment);
}

const SPOKEN_CHARS = 1_500; // read out; a longer answer is read in the conversation, at the person's own pace

/** A text in Markdown as it should be read out: without its marks and its code. */
function spoken(text) {
  const words = text
    .slice(0, 4 * SPOKEN_CHARS)
    .replace(/^ {0,3}(```|~~~)[^]*?(^ {0,3}\1|$(?![^]))/gm, "(code)")
    .replace(/!?\[([^\]\n]*)\]\([^)\n]*\)/g, "$1")
    .replace(/^[#>\s]+|[*`|]+/gm, "");
  return words.length > SPOKEN_CHARS ? `${words.slice(0, SPOKEN_CHARS)} ... The rest is in the conversation.` : words;
}
