/** The two kinds of entry in the log: what the person wrote, and what was answered. Elements only; no decisions. */

import { copyButton } from "./copy_button.js";
import { button, h, icon } from "./dom.js";
import { continueButton, retryButton } from "./error_card.js";
import { MarkdownView } from "./markdown_view.js";
import { ownText } from "./own_text.js";
import { momentTime, fullTime, strings } from "./strings.js";

/** Icon of each state of a person's message; the words are in `strings.states`. */
const STATE_ICONS = {
  sending: "sending",
  waiting: "sending",
  signedOut: "sending",
  repeating: "sending",
  behind: "sending",
  queued: "sending",
  askedLater: "sending",
  saved: "saved",
  answered: "answered",
  partial: "partial",
  stopped: "partial",
  failed: "failed",
  rejected: "failed",
  unknown: "failed",
};

const LONG_CHARS = 1_500; // about twenty lines
const LONG_LINES = 20;

export class QuestionView {
  #state = h("span", { class: "message-state" });
  #time = h("time", {});
  #card = new CardSlot();
  #unfold = button({ text: strings.unfold, className: "button quiet small unfold", onClick: () => this.#fold(this.#unfold.ariaExpanded === "true") });
  #content = "";

  /** @param {HTMLElement} past what went wrong before and was made good */
  constructor(past) {
    this.text = h("div", { class: "message-text", dir: "auto" });
    this.#unfold.hidden = true;
    const copy = copyButton({ label: strings.copyQuestion, text: () => this.#content, element: this.text });
    this.element = h(
      "article",
      { class: "message question", "aria-label": strings.you },
      this.text,
      this.#unfold,
      h("p", { class: "message-meta" }, this.#time, this.#state, h("span", { class: "message-tools" }, copy)),
      past,
      this.#card.element,
    );
  }

  show({ content, timestamp }) {
    if (this.#content !== content) {
      this.#content = content;
      this.text.replaceChildren(...ownText(content));
      this.#fold(isLong(content));
    }
    showTime(this.#time, timestamp);
  }

  /** Of a long text only the beginning is shown until somebody wants to read on. */
  #fold(isFolded) {
    this.text.classList.toggle("is-folded", isFolded);
    this.#unfold.lastChild.textContent = isFolded ? strings.unfold : strings.fold;
    this.#unfold.hidden = !isLong(this.#content);
    this.#unfold.ariaExpanded = String(!isFolded);
  }

  /** @param {keyof typeof strings.states} state */
  showState(state) {
    if (this.element.dataset.state === state) return;
    this.element.dataset.state = state;
    this.#state.replaceChildren(icon(STATE_ICONS[state]), strings.states[state]);
  }

  /** See `CardSlot.show`. */
  showCard(make, key) {
    this.#card.show(make, key);
  }
}

export class ReplyView {
  #progress = h("p", { class: "message-progress" });
  #meta = h("p", { class: "message-meta" });
  #time = h("time", {});
  #card = new CardSlot();
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
      this.#card.element,
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
    this.#meta.replaceChildren(); // it goes on from an end that it had
    const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    const stop = { text: strings.stop, iconName: "stop", className: "button small", onClick: this.onStop };
    this.#progress.replaceChildren(h("span", {}, words), dots, ...(canStop ? [button(stop)] : []));
  }

  /** It has ended; `note` says how, if not well, and the handlers let it go on or begin anew. */
  showEnd({ note = null, isContinued = false, timestamp = null, onContinue = null, onRetry = null } = {}) {
    const shown = ["ended", note, isContinued, timestamp, Boolean(onContinue), Boolean(onRetry)].join();
    if (this.#shown === shown) return; // what has the focus keeps it
    this.#shown = shown;
    this.element.removeAttribute("aria-busy");
    this.#progress.replaceChildren();
    if (timestamp) showTime(this.#time, timestamp);
    const mark = { class: "message-state", title: strings.continuedExplained };
    const continued = isContinued && h("span", mark, icon("forward"), strings.continued);
    const words = note && h("span", { class: "message-state" }, icon("partial"), note);
    const more = [onContinue && continueButton(onContinue), onRetry && retryButton(onRetry)];
    const copy = timestamp && h("span", { class: "message-tools" }, this.#copy);
    this.#meta.replaceChildren(...[timestamp && this.#time, continued, words, ...more, copy].filter(Boolean));
  }

  /** See `CardSlot.show`. */
  showCard(make, key) {
    this.#card.show(make, key);
  }
}

/** Whether a person's text is a wall of it. */
function isLong(content) {
  return content.length > LONG_CHARS || content.split("\n", LONG_LINES + 1).length > LONG_LINES;
}

/** Where the card of a failure is shown, if there is one. */
class CardSlot {
  element = h("div", { class: "card-slot" });
  #key = [];

  /**
   * @param {() => HTMLElement} [make] nothing: no card
   * @param {Array} [key] what the card depends on: while that is the same, the card stays, with the focus in it
   */
  show(make, key = []) {
    if (key.length === this.#key.length && key.every((part, index) => part === this.#key[index])) return;
    this.#key = key;
    this.element.replaceChildren(...(make ? [make()] : []));
  }
}

function showTime(element, timestamp) {
  element.dateTime = timestamp;
  element.title = fullTime(timestamp);
  element.textContent = momentTime(timestamp);
}
