/** The one line that says how the connection stands. Nothing is shown while all is well. */

import { button, countDown, h, icon } from "./dom.js";
import { referenceLine } from "./error_card.js";
import { strings } from "./strings.js";

const PATIENCE_MS = 800; // a connection that opens sooner needs no words
const RESTARTING = 4000;
export const SIGN_IN_CODES = new Set([4501, 4502]);
const OWN_CLOSE = 1000;

export class ConnectionLine {
  /** Whether nothing goes on here without a new sign-in. */
  needsSignIn = false;
  #element;
  #actions;
  #error = null; // of the connection itself; the close that follows belongs to it
  #stopCountDown = () => {};
  #patience = null;
  #said = "";

  /**
   * @param {HTMLElement} element
   * @param {object} actions
   * @param {() => void} actions.connect
   * @param {() => void} actions.wake
   * @param {() => string} actions.loginUrl where to sign in and come back from
   * @param {(text: string) => void} actions.announce
   */
  constructor(element, actions) {
    this.#element = element;
    this.#actions = actions;
  }

  /** An error that is about the connection, told before it is closed. */
  noteError(error) {
    this.#error = error;
  }

  /** Of the error that is told here, if any. */
  get reference() {
    return this.#element.hidden ? null : this.#error?.reference;
  }

  /** @param {object} detail of the client's `state` event */
  show({ state, code, retryAt, heldUntil, attempt }) {
    this.#stopCountDown();
    clearTimeout(this.#patience);
    if (state === "open") {
      this.#error = null;
      this.needsSignIn = false;
      this.#element.hidden = true;
      if (this.#said) this.#actions.announce(strings.connected);
      this.#said = "";
    } else if (state === "connecting") {
      this.#patience = setTimeout(() => this.#say(strings.connecting, { isCalm: true }), attempt ? 0 : PATIENCE_MS);
    } else if (state === "waiting") {
      this.#showWaiting(code, retryAt, heldUntil);
    } else {
      this.#showClosed(code);
    }
  }

  /** The HTTP API says that nobody is signed in. */
  showSignIn() {
    this.needsSignIn = true;
    this.#say(strings.signInAgain, { error: this.#error }, this.#signInLink());
  }

  /** No socket can be opened from here, so none is tried. */
  showRefused(words) {
    this.#say(words);
  }

  #showWaiting(code, retryAt, heldUntil) {
    const what = this.#error?.message ?? reasonOf(code);
    const when = h("span", { class: "countdown" });
    const tryNow = button({ text: strings.tryNow, className: "button small", onClick: this.#actions.wake });
    this.#say(what, { error: this.#error }, when, tryNow);
    const show = (seconds) => {
      when.textContent = strings.reconnectingIn(seconds);
      tryNow.hidden = Date.now() < heldUntil; // the server asked to be left alone for so long
    };
    this.#stopCountDown = countDown(retryAt, show, () => (when.textContent = strings.reconnectingNow));
  }

  #showClosed(code) {
    const connect = button({ text: strings.connect, className: "button small", onClick: this.#actions.connect });
    if (SIGN_IN_CODES.has(code)) this.showSignIn();
    else if (code === OWN_CLOSE) this.#say(strings.disconnected, {}, connect);
    else this.#say(this.#error?.message ?? strings.noAccess, { error: this.#error });
  }

  #signInLink() {
    return h("a", { class: "button small primary", href: this.#actions.loginUrl() }, strings.signIn);
  }

  /** Announces the words; the countdown beside them changes every second and stays unsaid. */
  #say(words, { error = null, isCalm = false } = {}, ...more) {
    if (!isCalm && this.#said !== words) this.#actions.announce(words);
    this.#said = words;
    this.#element.hidden = false;
    this.#element.classList.toggle("is-calm", isCalm);
    const reference = error?.reference ? [referenceLine(error.reference)] : [];
    this.#element.replaceChildren(icon(isCalm ? "sending" : "offline"), h("span", {}, words), ...more, ...reference);
  }
}

function reasonOf(code) {
  if (!navigator.onLine) return strings.offline;
  return code === RESTARTING ? strings.restarting : strings.connectionLost;
}
