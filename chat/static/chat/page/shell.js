/** The frame around the conversation: the drawer of the narrow layout, the model picker, ending, announcements. */

import { button, h, icon } from "./dom.js";
import { strings } from "./strings.js";

const TYPING_MS = 6_000; // twice as long as the other device waits between two signs
const ANNOUNCED_MS = 20_000; // long enough to be read out, short enough not to be found later by browsing

/** Say something to screen readers. */
export function announcer(element) {
  return (text) => {
    const line = h("p", {}, text);
    element.append(line);
    setTimeout(() => line.remove(), ANNOUNCED_MS);
  };
}

/**
 * The list of conversations slides over the page where there is no room for it; what is `behind` it is out of reach then.
 *
 * @param {object} parts
 * @param {() => void} parts.focusElsewhere the button that opened it is not shown any more
 * @returns {() => void} close
 */
export function wireSidebar({ sidebar, backdrop, openButton, closeButton, behind, focusElsewhere }) {
  const show = (isOpen) => {
    sidebar.classList.toggle("is-open", isOpen);
    backdrop.classList.toggle("is-open", isOpen);
    openButton.setAttribute("aria-expanded", String(isOpen));
    for (const element of behind) element.inert = isOpen;
  };
  const close = () => {
    if (!sidebar.classList.contains("is-open")) return;
    show(false);
    openButton.focus();
    if (document.activeElement !== openButton) focusElsewhere();
  };
  openButton.addEventListener("click", () => {
    show(true);
    closeButton.focus();
  });
  closeButton.addEventListener("click", close);
  backdrop.addEventListener("click", close);
  matchMedia("(max-width: 50rem)").addEventListener("change", close); // as in layout.css: there is room for both, or none
  document.addEventListener("keydown", ({ key }) => {
    // A menu or a question in front of the list is what Escape is about then.
    if (key === "Escape" && !document.querySelector("dialog[open], :popover-open")) close();
  });
  return close;
}

/** Escape stops what is being written, unless it is about something in front of the conversation, or typed elsewhere. */
export function wireStopKey({ sidebar, stop }) {
  const isTaken = ({ target, repeat, isComposing }) =>
    repeat || isComposing || sidebar.classList.contains("is-open") || target.closest?.("input, select") ||
    document.querySelector("dialog[open], :popover-open");
  // Before the others hear of it: what they close is open now.
  const options = { capture: true };
  document.addEventListener("keydown", (event) => event.key === "Escape" && !isTaken(event) && stop(), options);
}

/** Picks the model that answers; shown when there are several. Shows what the server agreed to. */
export class ModelPicker {
  #select = h("select", { "aria-label": strings.model, class: "model-picker", hidden: true });
  #agreed = "";

  constructor(parent, onPick) {
    this.#select.addEventListener("change", () => onPick(this.#select.value));
    parent.append(this.#select);
  }

  get hasChoice() {
    return this.#select.options.length > 1;
  }

  /** The chosen model; undefined leaves it to the server. */
  get value() {
    return this.hasChoice ? this.#select.value : undefined;
  }

  /** The model of the conversation, as the server has it; nothing: the first one. */
  set value(modelId) {
    this.#agreed = modelId || this.#select.options[0]?.value || "";
    this.#select.value = this.#agreed;
  }

  /** Nothing can be asked there any more. */
  set disabled(isDisabled) {
    this.#select.disabled = isDisabled;
  }

  /** The server has taken the change. */
  confirm() {
    this.#agreed = this.#select.value;
  }

  /** The server has refused the change. */
  revert() {
    this.#select.value = this.#agreed;
  }

  setModels(models) {
    const chosen = this.#select.value;
    this.#select.replaceChildren(...models.map(({ id, name }) => h("option", { value: id }, name)));
    for (const wanted of [this.#agreed, chosen]) if (models.some(({ id }) => id === wanted)) this.#select.value = wanted;
    this.#agreed ||= this.#select.value;
    this.#select.hidden = !this.hasChoice;
  }

  /** Let the person choose; browsers without `showPicker` only get the focus there. */
  open() {
    this.#select.focus();
    this.#select.showPicker?.();
  }
}

/** The button that ends the conversation. */
export function endButton(parent, onEnd) {
  const element = button({ text: strings.end, iconName: "end", className: "button quiet end", onClick: onEnd });
  element.hidden = true;
  parent.append(element);
  return element;
}

/** Says that the person is typing on another device, until that has stopped for a while. */
export class TypingLine {
  #element;
  #timer = null;

  constructor(element) {
    this.#element = element;
    element.append(icon("edit"), strings.typingElsewhere);
  }

  show() {
    clearTimeout(this.#timer);
    this.#element.hidden = false;
    this.#timer = setTimeout(() => this.hide(), TYPING_MS);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#element.hidden = true;
  }
}

/** What the empty conversation offers. */
export function welcome({ suggestions, hasFaultCommands, say }) {
  const offer = (text) => h("li", {}, button({ text, className: "button suggestion", onClick: () => say(text) }));
  const parts = [
    h("h2", {}, strings.welcome),
    h("p", {}, suggestions.length ? strings.welcomeMore : strings.welcomeAlone),
    suggestions.length > 0 && h("ul", { class: "suggestions" }, ...suggestions.map(offer)),
  ].filter(Boolean);
  if (hasFaultCommands) {
    parts.push(h("p", {}, strings.faultsMore));
    parts.push(h("ul", { class: "suggestions" }, ...strings.faultSuggestions.map(offer)));
  }
  return parts;
}
