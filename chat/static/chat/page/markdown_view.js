/**
 * A text in Markdown on the page, while it grows and when it is whole.
 *
 * What a model writes is not to be trusted: the HTML made of it goes through DOMPurify, which returns nodes; nothing is
 * ever assigned as markup. Only the last block is rendered again when text arrives, in slices of a few milliseconds, so
 * that a long answer costs no more per word than a short one.
 */

import DOMPurify from "../vendor/dompurify/purify.es.mjs";
import { CodeBlock } from "./code_block.js";
import { h, icon, OUTER_LINK } from "./dom.js";
import { LateLinks } from "./late_links.js";
import {
  closesFence, copyContext, cutLength, finishedLength, newContext, openingFence, toHtml,
} from "./markdown_syntax.js";
import { strings } from "./strings.js";

const SLICE_CHARS = 1_024; // text taken in at once
const BUDGET_MS = 5; // work without a pause; a frame has 16, and layout needs its share
const PAUSE_MS = 40; // between two renderings of a growing text; the server sends as often
const TOO_LONG_CHARS = 12_000; // a block that cannot be cut well is cut anywhere

const ALLOWED = {
  ALLOWED_TAGS: (
    "p br hr h2 h3 h4 h5 h6 strong em s code pre blockquote ul ol li a span table thead tbody tr th td"
  ).split(" "),
  ALLOWED_ATTR: ["href", "title", "start", "class", "dir"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["start", "dir"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

export class MarkdownView {
  element = h("div", { class: "message-text markdown" });
  #source = ""; // all of it
  #arrived = ""; // not looked at yet
  #tail = ""; // looked at, and not finished
  #context = newContext();
  #open = h("div", { class: "open-block" }); // the last block, which is rendered again and again
  #fence = null; // the block of code being written: {marker, indent, block}
  #lateLinks = new LateLinks(fragmentOf);
  #isWhole = false;
  #timer = null;

  constructor() {
    this.element.append(this.#open);
    this.element.hidden = true; // until there is something to show
  }

  get isEmpty() {
    return this.#source === "";
  }

  /** What was written, as it was written. */
  get source() {
    return this.#source;
  }

  /** More of the text; it appears in a moment. */
  append(text) {
    if (this.#isWhole) {
      this.show(this.#source + text, { isWhole: false });
      return;
    }
    this.#source += text;
    this.#arrived += text;
    this.#isWhole = false;
    this.#timer ??= setTimeout(() => this.#work(), PAUSE_MS);
  }

  /** The text as it is now. What is shown of it already stays. @param {boolean} isWhole nothing will follow */
  show(text, { isWhole = true } = {}) {
    // What was the end is none any more: code that was closed there may go on.
    const goesOn = this.#isWhole && !(isWhole && text === this.#source);
    if (goesOn) this.element.style.minHeight = `${this.element.offsetHeight}px`; // nothing jumps while it is made anew
    if (goesOn || !text.startsWith(this.#source)) this.#clear();
    this.#arrived += text.slice(this.#source.length);
    this.#source = text;
    this.#isWhole = isWhole;
    this.#work();
  }

  #clear() {
    this.#source = this.#arrived = this.#tail = "";
    this.#context = newContext();
    this.#lateLinks = new LateLinks(fragmentOf);
    this.#fence = null;
    this.#open.replaceChildren();
    this.element.replaceChildren(this.#open);
  }

  /** Take in what has arrived, for a few milliseconds; the rest comes in the next slice. */
  #work() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.element.hidden = this.isEmpty;
    const begun = performance.now();
    const hasTime = () => performance.now() - begun < BUDGET_MS;
    while (this.#arrived && hasTime()) {
      this.#tail += this.#arrived.slice(0, SLICE_CHARS).replaceAll("\r", "");
      this.#arrived = this.#arrived.slice(SLICE_CHARS);
      this.#finishBlocks();
    }
    if (!this.#arrived && this.#isWhole) this.#finishAll();
    else if (!this.#arrived && !this.#fence) {
      this.#open.replaceChildren(fragmentOf(this.#tail, copyContext(this.#context)));
    }
    while (this.#lateLinks.hasWork && hasTime()) this.#lateLinks.renderOne(this.#context);
    if (this.#arrived || this.#lateLinks.hasWork) this.#timer = setTimeout(() => this.#work(), 0);
    else this.element.style.minHeight = "";
  }

  #finishBlocks() {
    for (;;) {
      if (this.#fence) {
        if (!this.#addCode()) return;
        continue;
      }
      this.#tail = this.#tail.replace(/^(?:[ \t]*\n)+/, "");
      if (this.#openFence()) continue;
      const length = finishedLength(this.#tail);
      if (length > 0) this.#finish(length);
      else if (!this.#cutLongBlock()) return;
    }
  }

  #cutLongBlock() {
    let { length, repeat, number } = cutLength(this.#tail, this.#context.number);
    if (length === 0 && this.#tail.length > TOO_LONG_CHARS) {
      length = this.#tail.lastIndexOf("\n") + 1 || this.#tail.length;
      repeat = "";
    }
    if (length <= repeat.length) return false;
    this.#finish(length, number);
    this.#tail = repeat + this.#tail;
    return true;
  }

  /** Render the beginning of the tail for the last time; `number` is that of the next item of a list that was cut. */
  #finish(length, number = null) {
    const text = this.#tail.slice(0, length);
    const before = copyContext(this.#context);
    const fragment = fragmentOf(text, this.#context);
    this.#lateLinks.note(text, before, this.#context, fragment);
    this.#context.number = number;
    this.#open.before(fragment);
    this.#tail = this.#tail.slice(length);
    this.#open.replaceChildren();
  }

  #finishAll() {
    if (this.#fence) this.#addCode({ isWhole: true });
    else if (this.#tail) this.#finish(this.#tail.length);
    this.#fence = null;
    this.#tail = "";
  }

  // --- Code: text that needs no rendering, only appending ---

  #openFence() {
    const fence = openingFence(this.#tail);
    if (!fence) return false;
    const block = new CodeBlock(fence.language);
    this.#fence = { ...fence, block };
    this.#tail = this.#tail.slice(fence.length);
    this.#open.replaceChildren();
    this.#open.before(block.element);
    return true;
  }

  /** Move code from the tail to its block. @returns {boolean} whether the block is closed, and more may follow */
  #addCode({ isWhole = false } = {}) {
    const fence = this.#fence;
    const lines = this.#tail.split("\n");
    const last = lines.pop();
    const end = lines.findIndex((line, index) => !(index === 0 && fence.isMidLine) && closesFence(line, fence));
    const strip = new RegExp(`^ {0,${fence.indent}}`);
    const code = (end < 0 ? lines : lines.slice(0, end)).map((line) => {
      const piece = fence.isMidLine ? line : line.replace(strip, "");
      fence.isMidLine = false;
      return `${piece}\n`;
    });
    if (code.length) fence.block.append(code.join(""));
    if (end >= 0) {
      this.#tail = [...lines.slice(end + 1), last].join("\n");
      this.#fence = null;
      return true;
    }
    // The last line may still become the one that closes the block.
    const isCode = fence.isMidLine || !closesFence(last, fence, isWhole);
    this.#tail = isCode ? "" : last;
    if (isCode && last) fence.block.append(fence.isMidLine ? last : last.replace(strip, ""));
    fence.isMidLine = isCode && (fence.isMidLine || last !== "");
    return false;
  }
}

/** Safe nodes of a part of a text. */
function fragmentOf(text, context) {
  const fragment = DOMPurify.sanitize(toHtml(text, context), ALLOWED);
  for (const link of fragment.querySelectorAll("a")) protect(link);
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeOf(pre));
  for (const box of fragment.querySelectorAll(".task")) box.replaceWith(taskBox(box.classList.contains("done")));
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": strings.table });
    table.replaceWith(frame);
    frame.append(table);
    frame.dir = "auto"; // of what is in it
  }
  return fragment;
}

function protect(link) {
  if (!link.hasAttribute("href")) {
    link.replaceWith(...link.childNodes);
    return;
  }
  Object.assign(link, OUTER_LINK);
}

function taskBox(isDone) {
  const label = isDone ? strings.taskDone : strings.taskOpen;
  return h("span", { class: "task", role: "img", "aria-label": label }, isDone && icon("saved"));
}

/** Code within a list or a quotation. */
function codeOf(pre) {
  const [, language] = /(?:^| )language-(\S+)/.exec(pre.querySelector("code")?.className ?? "") ?? [];
  const block = new CodeBlock(language);
  block.append(pre.textContent);
  return block.element;
}
