/** The two kinds of entry in the log: what the person wrote, and what was answered. Elements only; no decisions. */

import { copyButton } from "./copy_button.js";
import { button, h, icon } from "./dom.js";
import { continueButton, referenceLine } from "./error_card.js";
import { MarkdownView } from "./markdown_view.js";
import { momentTime, fullTime, strings } from "./strings.js";

/** Icon of each state of a person's message; the words are in `strings.states`. */
const STATE_ICONS = {
  sending: "sending",
  waiting: "sending",
  repeating: "sending",
  saved: "saved",
  answered: "answered",
  partial: "partial",
  stopped: "partial",
  failed: "failed",
  rejected: "failed",
  unknown: "failed",
};

export class QuestionView {
  #state = h("span", { class: "message-state" });
  #time = h("time", {});
  #card = h("div", { class: "card-slot" });
  #past = h("div", { class: "past-failures" });

  constructor() {
    this.text = h("div", { class: "message-text", dir: "auto" });
    this.element = h(
      "article",
      { class: "message question", "aria-label": strings.you },
      this.text,
      h("p", { class: "message-meta" }, this.#time, this.#state),
      this.#past,
      this.#card,
    );
  }

  /** Failures that a later try has made good: their references can still be quoted. */
  showPast(references) {
    if (this.#past.childElementCount === references.length) return;
    const line = (reference) => h("div", { class: "past-failure" }, strings.pastFailure, referenceLine(reference));
    this.#past.replaceChildren(...references.map(line));
  }

  show({ content, timestamp }) {
    this.text.textContent = content;
    showTime(this.#time, timestamp);
  }

  /** @param {keyof typeof strings.states} state */
  showState(state) {
    if (this.element.dataset.state === state) return;
    this.element.dataset.state = state;
    this.#state.replaceChildren(icon(STATE_ICONS[state]), strings.states[state]);
  }

  showCard(card = null) {
    this.#card.replaceChildren(...(card ? [card] : []));
  }
}

export class ReplyView {
  #progress = h("p", { class: "message-progress" });
  #meta = h("p", { class: "message-meta" });
  #time = h("time", {});
  #card = h("div", { class: "card-slot" });
  #shown = ""; // state of the progress line
  #markdown = new MarkdownView();
  #copy = copyButton({
    label: strings.copyReply,
    text: () => this.#markdown.source,
    element: this.#markdown.element,
  });

  /** @param {() => void} onStop */
  constructor(onStop) {
    this.onStop = onStop;
    this.element = h(
      "article",
      { class: "message reply", "aria-label": strings.assistant },
      this.#markdown.element,
      this.#progress,
      this.#meta,
      this.#card,
    );
  }

  append(delta) {
    this.#markdown.append(delta);
  }

  show(text, { isWhole }) {
    this.#markdown.show(text, { isWhole });
  }

  /** It is being written, or waits for the connection to go on. */
  showProgress(words, { canStop }) {
    if (this.#shown === words) return;
    this.#shown = words;
    this.element.setAttribute("aria-busy", "true");
    const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    const stop = { text: strings.stop, iconName: "stop", className: "button small", onClick: this.onStop };
    this.#progress.replaceChildren(h("span", {}, words), dots, ...(canStop ? [button(stop)] : []));
  }

  /** It has ended; `note` says how, if not well, and `onContinue` lets it go on. */
  showEnd({ note = null, timestamp = null, onContinue = null } = {}) {
    const shown = `ended ${note} ${timestamp}`;
    if (this.#shown === shown && !onContinue) return; // what has the focus keeps it
    this.#shown = shown;
    this.element.removeAttribute("aria-busy");
    this.#progress.replaceChildren();
    if (timestamp) showTime(this.#time, timestamp);
    const words = note && h("span", { class: "message-state" }, icon("partial"), note);
    const more = onContinue && continueButton(onContinue);
    const copy = timestamp && h("span", { class: "message-tools" }, this.#copy);
    this.#meta.replaceChildren(...[timestamp && this.#time, words, more, copy].filter(Boolean));
  }

  showCard(card = null) {
    this.#card.replaceChildren(...(card ? [card] : []));
  }
}

function showTime(element, timestamp) {
  element.dateTime = timestamp;
  element.title = fullTime(timestamp);
  element.textContent = momentTime(timestamp);
}
