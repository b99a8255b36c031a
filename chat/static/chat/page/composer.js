/**
 * The message box: several lines, input methods are left alone, too much text is refused at once.
 *
 * Enter sends, except where a screen is touched: its keyboard has no Shift + Enter, so there it begins a line.
 */

import { codePoints } from "../client/reply_text.js";
import { strings } from "./strings.js";

const WARN_BELOW = 500; // characters left from which on they are counted
const FAR_BEYOND = 4; // times what may be sent: so long a text is neither counted, laid out nor kept at every key

export class Composer {
  #form;
  #text;
  #send;
  #stop;
  #hint;
  #usualHint;
  #maxChars;
  #enterSends;
  #onChange;

  /**
   * @param {HTMLFormElement} form
   * @param {object} options
   * @param {number} options.maxChars Unicode code points
   * @param {(content: string) => void} options.onSend
   * @param {(text: string) => void} options.onChange the person has changed what is in the box
   * @param {() => void} options.onTyping
   * @param {() => void} options.onStop
   */
  constructor(form, { maxChars, onSend, onChange, onTyping, onStop }) {
    this.#form = form;
    this.#text = form.querySelector("textarea");
    this.#send = form.querySelector("button[type=submit]");
    this.#stop = form.querySelector(".stop");
    this.#hint = form.querySelector(".composer-hint");
    this.#maxChars = maxChars;
    this.#enterSends = !matchMedia("(pointer: coarse)").matches || matchMedia("(any-pointer: fine)").matches;
    this.#usualHint = this.#enterSends ? strings.hint : "";
    this.#text.enterKeyHint = this.#enterSends ? "send" : "enter";
    this.#onChange = onChange;
    this.#text.addEventListener("input", () => {
      this.#update();
      if (!this.#isFarBeyond) onChange(this.#text.value);
      if (!this.isEmpty) onTyping();
    });
    this.#text.addEventListener("change", () => onChange(this.#text.value)); // the focus has left it
    this.#text.addEventListener("keydown", (event) => this.#onKey(event));
    // Not for the second click of two that were to send: the button has come to where the other one was.
    this.#stop.addEventListener("click", ({ detail }) => detail > 1 || onStop());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(onSend);
    });
    this.#update();
  }

  /** What is typed; other tabs may already have changed what is kept of it. */
  get text() {
    return this.#text.value;
  }

  get isEmpty() {
    return this.#text.value.trim() === "";
  }

  focus() {
    this.#text.focus();
  }

  /** Put a text into the box, before what is there. */
  insert(content) {
    this.#text.value = this.isEmpty ? content : `${content}\n${this.#text.value}`;
    this.#update();
    this.#onChange(this.#text.value);
    this.focus();
  }

  /** Show what was typed here before. */
  restore(draft) {
    if (this.#text.value === draft) return;
    this.#text.value = draft;
    this.#update();
  }

  /** Whether an answer is being written here: then it can be stopped, and where nothing is typed, only that. */
  set isAnswering(isAnswering) {
    if (this.#stop.hidden !== isAnswering) return;
    const hadFocus = document.activeElement === this.#stop;
    this.#stop.hidden = !isAnswering;
    this.#update();
    if (hadFocus) this.focus();
  }

  set hidden(isHidden) {
    this.#form.hidden = isHidden;
    if (!isHidden) this.#fit();
  }

  #onKey(event) {
    // While an input method composes, Enter chooses a candidate (229: Safari reports it after the composition).
    const isComposing = event.isComposing || event.keyCode === 229;
    const sends = event.ctrlKey || event.metaKey || (this.#enterSends && !event.shiftKey);
    if (event.key !== "Enter" || !sends || isComposing) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #submit(onSend) {
    if (this.isEmpty || this.#left() < 0) return;
    const content = this.#text.value;
    this.#text.value = "";
    this.#update();
    this.#onChange("");
    onSend(content);
    this.focus();
  }

  get #isFarBeyond() {
    return this.#text.value.length > FAR_BEYOND * this.#maxChars;
  }

  /** Characters that may still be written; of a text far too long about so many. */
  #left() {
    const text = this.#text.value;
    return this.#maxChars - (this.#isFarBeyond ? text.length : codePoints(text));
  }

  #update() {
    const left = this.#left();
    const isTooLong = left < 0;
    const isNearlyFull = left < WARN_BELOW && left < this.#maxChars / 2;
    const count = isTooLong ? strings.charactersOver(-left) : isNearlyFull && strings.charactersLeft(left);
    this.#hint.textContent = count || this.#usualHint;
    this.#hint.classList.toggle("is-error", isTooLong);
    this.#hint.classList.toggle("is-needed", Boolean(count));
    this.#text.setAttribute("aria-invalid", String(isTooLong));
    this.#send.disabled = this.isEmpty || isTooLong;
    this.#send.hidden = this.isEmpty && !this.#stop.hidden;
    this.#fit();
  }

  /** As high as its text, up to what the style allows. */
  #fit() {
    const { style } = this.#text;
    if (this.#isFarBeyond) {
      style.height = "100vh";
      return;
    }
    // While it is measured, the log above must not grow: it would lose its place.
    this.#form.style.minHeight = `${this.#form.offsetHeight}px`;
    style.height = "auto";
    style.height = `${this.#text.scrollHeight}px`;
    this.#form.style.minHeight = "";
  }
}
