/** The message box: several lines, Enter sends, input methods are left alone, too much text is refused at once. */

import { codePoints } from "../client/reply_text.js";
import { strings } from "./strings.js";

const WARN_BELOW = 500; // characters left from which on they are counted

export class Composer {
  #form;
  #text;
  #send;
  #hint;
  #maxChars;
  #onChange;

  /**
   * @param {HTMLFormElement} form
   * @param {object} options
   * @param {number} options.maxChars Unicode code points
   * @param {(content: string) => void} options.onSend
   * @param {(text: string) => void} options.onChange the person has changed what is in the box
   * @param {() => void} options.onTyping
   */
  constructor(form, { maxChars, onSend, onChange, onTyping }) {
    this.#form = form;
    this.#text = form.querySelector("textarea");
    this.#send = form.querySelector("button[type=submit]");
    this.#hint = form.querySelector(".composer-hint");
    this.#maxChars = maxChars;
    this.#onChange = onChange;
    this.#text.addEventListener("input", () => {
      this.#update();
      onChange(this.#text.value);
      if (!this.isEmpty) onTyping();
    });
    this.#text.addEventListener("keydown", (event) => this.#onKey(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(onSend);
    });
    this.#update();
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

  set hidden(isHidden) {
    this.#form.hidden = isHidden;
  }

  #onKey(event) {
    // While an input method composes, Enter chooses a candidate (229: Safari reports it after the composition).
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || isComposing) return;
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

  #left() {
    return this.#maxChars - codePoints(this.#text.value);
  }

  #update() {
    const left = this.#left();
    const isTooLong = left < 0;
    this.#hint.textContent = isTooLong
      ? strings.charactersOver(-left)
      : left < WARN_BELOW && left < this.#maxChars / 2
        ? strings.charactersLeft(left)
        : strings.hint;
    this.#hint.classList.toggle("is-error", isTooLong);
    this.#hint.classList.toggle("is-needed", this.#hint.textContent !== strings.hint);
    this.#text.setAttribute("aria-invalid", String(isTooLong));
    this.#send.disabled = this.isEmpty || isTooLong;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
