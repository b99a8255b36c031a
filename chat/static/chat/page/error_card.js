/** The card that tells a failure where it happened: one sentence, what became of the message, what to do now. */

import { copyButton } from "./copy_button.js";
import { button, countDown, h, icon } from "./dom.js";
import { strings } from "./strings.js";

/**
 * @param {object} error as in an `error` frame
 * @param {object} [handlers] what can be done; a button appears where there is a handler and `actions` allows it
 * @param {() => void} [handlers.onRetry]
 * @param {() => void} [handlers.onContinue] go on from the text that is there
 * @param {() => void} [handlers.onCancel] do not try again by itself
 * @param {() => void} [handlers.onSendAgain] the message itself was refused; harmless under its old ref
 * @param {() => void} [handlers.onEdit]
 * @param {() => void} [handlers.onRemove]
 * @param {() => void} [handlers.onModel]
 * @param {() => void} [handlers.onNew]
 * @param {string} [handlers.loginUrl]
 * @param {object} [facts]
 * @param {number} [facts.retryAt] epoch ms at which it is tried again by itself
 * @param {boolean} [facts.tellsOutcome] whether `error.outcome` is about a message of the person
 * @param {boolean} [facts.isFresh] whether it has just happened: `retry_after` counts from then
 */
export function errorCard(error, handlers = {}, { retryAt = null, tellsOutcome = true, isFresh = true } = {}) {
  const outcome = tellsOutcome && strings.outcomes[error.outcome];
  return h(
    "div",
    { class: "error-card", role: "group", "aria-label": error.message, "data-code": error.code },
    h("p", { class: "error-message" }, icon("failed"), h("span", {}, error.message)),
    outcome && h("p", { class: "error-outcome" }, outcome),
    retryAt && repetition(retryAt),
    actionRow(isFresh ? error : { ...error, retry_after: 0 }, handlers, retryAt),
    error.reference && referenceLine(error.reference),
  );
}

function repetition(retryAt) {
  const line = h("p", { class: "error-outcome" });
  const say = (text) => (line.textContent = text);
  countDown(retryAt, (seconds) => say(strings.tryingAgainIn(seconds)), () => say(strings.askingAgain));
  return line;
}

function actionRow(error, handlers, retryAt) {
  const actions = new Set(error.actions ?? []);
  const mayResend = actions.has("retry") || actions.has("sign_in") || error.outcome === "unknown";
  const offers = [
    [actions.has("retry") && !retryAt, handlers.onContinue, () => continueButton(handlers.onContinue)],
    [actions.has("retry") && !retryAt, handlers.onRetry, () => retryButton(error, handlers.onRetry)],
    [retryAt, handlers.onCancel, () => action(strings.cancelRepetition, "close", handlers.onCancel)],
    [mayResend && !retryAt, handlers.onSendAgain, () => action(strings.sendAgain, "retry", handlers.onSendAgain)],
    [actions.has("switch_model"), handlers.onModel, () => action(strings.chooseModel, "down", handlers.onModel)],
    [actions.has("new_session"), handlers.onNew, () => action(strings.newConversation, "plus", handlers.onNew)],
    [!retryAt, handlers.onEdit, () => action(strings.edit, "edit", handlers.onEdit)],
    [!retryAt, handlers.onRemove, () => action(strings.remove, "close", handlers.onRemove)],
    [actions.has("sign_in"), handlers.loginUrl, () => link(strings.signIn, handlers.loginUrl, "button small")],
    [isOwnPath(error.help_url), true, () => helpLink(error)],
  ];
  const buttons = offers.filter(([isOpen, handler]) => isOpen && handler).map(([, , make]) => make());
  return buttons.length > 0 && h("div", { class: "error-actions" }, ...buttons);
}

function action(text, iconName, onClick) {
  return button({ text, iconName, className: "button small", onClick });
}

function link(text, href, className) {
  return h("a", { class: className, href }, text);
}

/** A link to the page of the code, if the error names one. */
export function helpLink({ help_url: href }) {
  const attributes = { class: "help-link", href, target: "_blank", rel: "noopener" };
  return isOwnPath(href) && h("a", attributes, strings.whatItMeans);
}

/** Lets the answer go on from where it broke off. */
export function continueButton(onContinue) {
  const go = action(strings.continueReply, "forward", () => askOnce(go, onContinue));
  return go;
}

/** Asks again; not before the time the server told. */
function retryButton(error, onRetry) {
  const retry = action(strings.tryAgain, "retry", () => askOnce(retry, onRetry));
  if (error.retry_after >= 1) {
    retry.disabled = true;
    const enable = () => {
      retry.disabled = false;
      setText(retry, strings.tryAgain);
    };
    countDown(Date.now() + error.retry_after, (seconds) => setText(retry, strings.tryAgainIn(seconds)), enable);
  }
  return retry;
}

/** Not `disabled`: that would take the focus away before there is another place for it. */
function askOnce(element, ask) {
  if (element.ariaDisabled) return;
  element.ariaDisabled = "true";
  setText(element, strings.askingAgain);
  ask();
}

export function referenceLine(reference) {
  const code = h("code", {}, reference);
  const copy = copyButton({ label: strings.copyReference(reference), text: () => reference, element: code });
  return h("p", { class: "reference" }, `${strings.reference} `, code, copy);
}

function setText(element, text) {
  element.lastChild.textContent = text;
}

/** Help pages are the site's own; anything else is not linked. */
function isOwnPath(url) {
  return typeof url === "string" && /^\/(?![/\\])/.test(url);
}
