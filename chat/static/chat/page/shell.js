/** The frame around the conversation: the drawer of the narrow layout, the model picker, ending, announcements. */

import { button, h, icon } from "./dom.js";
import { strings } from "./strings.js";

const ANNOUNCED_MS = 20_000; // long enough to be read out, short enough not to be found later by browsing

/** Say something to screen readers. */
export function announcer(element) {
  return (text) => {
    const line = h("p", {}, text);
    element.append(line);
    setTimeout(() => line.remove(), ANNOUNCED_MS);
  };
}

/** The list of conversations slides over the page where there is no room for it. @returns {() => void} close */
export function wireSidebar({ sidebar, backdrop, openButton, closeButton }) {
  openButton.append(icon("menu"));
  closeButton.append(icon("close"));
  const show = (isOpen) => {
    sidebar.classList.toggle("is-open", isOpen);
    backdrop.classList.toggle("is-open", isOpen);
    openButton.setAttribute("aria-expanded", String(isOpen));
  };
  const close = () => {
    if (!sidebar.classList.contains("is-open")) return;
    show(false);
    openButton.focus();
  };
  openButton.addEventListener("click", () => {
    show(true);
    closeButton.focus();
  });
  closeButton.addEventListener("click", close);
  backdrop.addEventListener("click", close);
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return close;
}

/** Picks the model that answers; shown when there are several. */
export class ModelPicker {
  #select = h("select", { "aria-label": strings.model, class: "model-picker", hidden: true });

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

  set value(modelId) {
    if (modelId) this.#select.value = modelId;
  }

  setModels(models) {
    const chosen = this.#select.value;
    this.#select.replaceChildren(...models.map(({ id, name }) => h("option", { value: id }, name)));
    if (models.some(({ id }) => id === chosen)) this.#select.value = chosen;
    this.#select.hidden = !this.hasChoice;
  }

  focus() {
    this.#select.focus();
  }
}

/** The button that ends the conversation, after a question. */
export function endButton(parent, onEnd) {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "end-question" });
  const answer = (text, className, value) => h("button", { class: className, value }, text);
  const choices = [answer(strings.cancel, "button", "cancel"), answer(strings.end, "button danger", "end")];
  dialog.append(
    h("h2", { id: "end-question" }, strings.endQuestion),
    h("p", {}, strings.endExplained),
    h("form", { method: "dialog", class: "dialog-actions" }, ...choices),
  );
  dialog.addEventListener("close", () => dialog.returnValue === "end" && onEnd());
  const ask = () => {
    dialog.returnValue = "";
    dialog.showModal();
  };
  const text = h("span", { class: "end-text" }, strings.end); // hidden where it is narrow: the label stays
  const element = button({ text, label: strings.end, iconName: "end", className: "button quiet", onClick: ask });
  element.hidden = true;
  parent.append(element);
  document.body.append(dialog);
  return element;
}

/** What the empty conversation offers. */
export function welcome({ hasFaultCommands, say }) {
  const offer = (text) => h("li", {}, button({ text, className: "button suggestion", onClick: () => say(text) }));
  const parts = [
    h("h2", {}, strings.welcome),
    h("p", {}, strings.welcomeMore),
    h("ul", { class: "suggestions" }, ...strings.suggestions.map(offer)),
  ];
  if (hasFaultCommands) {
    parts.push(h("p", {}, strings.faultsMore));
    parts.push(h("ul", { class: "suggestions" }, ...strings.faultSuggestions.map(offer)));
  }
  return parts;
}
