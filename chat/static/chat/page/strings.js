/** Every English word that the page's scripts show, in one table. What the server renders comes from the templates. */

export const strings = {
  product: "Switchboard",
  you: "You",
  assistant: "Assistant",
  newConversation: "New conversation",
  untitled: "New conversation",
  conversationTitle: (title) => `${title} – Switchboard`,

  // Composer
  placeholder: "Write a message",
  send: "Send message",
  hint: "Enter sends, Shift + Enter starts a new line",
  charactersLeft: (left) => `${left} characters left`,
  charactersOver: (over) => `${over} ${over === 1 ? "character" : "characters"} too long. Please shorten the message.`,
  ended: "This conversation has ended. You can still read it.",

  // The empty conversation
  welcome: "How can I help?",
  welcomeMore: "Ask anything, or begin with one of these.",
  faultsMore: "See what a failure looks like:",
  suggestions: ["What can you do?", "How do I use Switchboard?", "Tell me a short story"],
  faultSuggestions: ["/fault unavailable", "/fault midstream", "/fault ratelimit", "/fault database", "/fault slow"],

  // What became of a message
  states: {
    sending: "Sending",
    waiting: "Not sent yet, waiting for the connection",
    repeating: "Not sent yet, trying again",
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
  stop: "Stop",

  // Errors
  outcomes: {
    rejected: "Your message was not sent.",
    saved: "Your message is saved.",
    partial: "Your message and the beginning of the answer are saved.",
    unknown: "It is not certain whether your message was saved. Sending it again is safe.",
  },
  tryAgain: "Try again",
  tryAgainIn: (seconds) => `Try again in ${seconds} s`,
  tryingAgainIn: (seconds) => `Trying again by itself in ${seconds} s`,
  askingAgain: "Asking again",
  sendAgain: "Send again",
  edit: "Edit",
  remove: "Remove",
  chooseModel: "Choose another model",
  signIn: "Sign in",
  signInAgain: "Please sign in again",
  whatItMeans: "What does this mean?",
  reference: "Reference",
  copyReference: (reference) => `Copy reference ${reference}`,
  copied: "Copied",
  notLoaded: "This could not be loaded.",
  somethingMissed: "Some messages may be missing.",

  // Connection
  connecting: "Connecting",
  connectionLost: "Connection lost.",
  restarting: "The service is restarting.",
  reconnectingIn: (seconds) => `Next try in ${seconds} s.`,
  reconnectingNow: "Trying again now.",
  tryNow: "Try now",
  noAccess: "You do not have access to this chat.",
  disconnected: "You are not connected.",
  connect: "Connect",
  connected: "Connected",
  dismiss: "Dismiss",

  // Conversations
  conversations: "Conversations",
  openList: "Open the list of conversations",
  closeList: "Close the list of conversations",
  noConversations: "Your conversations will be listed here.",
  showMore: "Show more",
  showEarlier: "Show earlier messages",
  loading: "Loading",
  latest: "Latest messages",
  endedMark: "ended",
  end: "End conversation",
  endQuestion: "End this conversation?",
  endExplained: "You can still read it, but nobody can write in it any more.",
  cancel: "Cancel",
  model: "Model",

  // Said to screen readers
  announceReply: (text) => `Assistant: ${text}`,
  announceOwn: (text) => `You, on another device: ${text}`,
  announceError: (message) => `Error: ${message}`,
  announceThinking: "The assistant is thinking",
};

const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "medium" });

/** "14:05" for today, "3 Mar" for other days. */
export function shortTime(timestamp) {
  const moment = new Date(timestamp);
  return moment.toDateString() === new Date().toDateString() ? TIME.format(moment) : DAY.format(moment);
}

export function clockTime(timestamp) {
  return TIME.format(new Date(timestamp));
}

export function fullTime(timestamp) {
  return FULL.format(new Date(timestamp));
}
