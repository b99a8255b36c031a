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
 * @param {number} [facts.notBefore] epoch ms before which the server will not be asked again
 * @param {string} [facts.doing] what is being done once that time has come
 * @param {boolean} [facts.tellsOutcome] whether `error.outcome` is about a message of the person
 */
export function errorCard(error, handlers = {}, facts = {}) {
  const { retryAt = null, notBefore, doing = strings.askingAgain, tellsOutcome = true } = facts;
  const isDecided = !retryAt || error.outcome !== "rejected"; // it may yet be sent
  const outcome = tellsOutcome && isDecided && strings.outcomes[error.outcome];
  return h(
    "div",
    { class: "error-card", role: "group", "aria-label": error.message, "data-code": error.code },
    h("p", { class: "error-message" }, icon("failed"), h("span", {}, error.message)),
    outcome && h("p", { class: "error-outcome" }, outcome),
    retryAt && repetition(retryAt, doing),
    actionRow(error, handlers, retryAt, notBefore ?? Date.now() + (error.retry_after ?? 0)),
    error.reference && referenceLine(error.reference),
  );
}

/** What can be done about a message that only waits. */
export function takeBack({ onEdit, onRemove }) {
  const actions = [action(strings.edit, "edit", onEdit), action(strings.remove, "delete", onRemove)];
  return h("div", { class: "take-back" }, ...actions);
}

function repetition(retryAt, doing) {
  const line = h("p", { class: "error-outcome" });
  const say = (text) => (line.textContent = text);
  countDown(retryAt, (seconds) => say(strings.tryingAgainIn(seconds)), () => say(doing));
  return line;
}

function actionRow(error, handlers, retryAt, notBefore) {
  const actions = new Set(error.actions ?? []);
  const mayAsk = actions.has("retry") && !retryAt;
  const mayResend = (actions.has("retry") || actions.has("sign_in") || error.outcome === "unknown") && !retryAt;
  const offers = [
    [mayAsk, handlers.onContinue, () => continueButton(handlers.onContinue)],
    [mayAsk, handlers.onRetry, () => retryButton(handlers.onRetry, notBefore)],
    [retryAt, handlers.onCancel, () => until(retryAt, action(strings.cancelRepetition, "close", handlers.onCancel))],
    [mayResend, handlers.onSendAgain, () => action(strings.sendAgain, "retry", handlers.onSendAgain)],
    [actions.has("switch_model"), handlers.onModel, () => action(strings.chooseModel, "swap", handlers.onModel)],
    [actions.has("new_session"), handlers.onNew, () => action(strings.newConversation, "plus", handlers.onNew)],
    [true, handlers.onEdit, () => until(retryAt, action(strings.edit, "edit", handlers.onEdit))],
    [true, handlers.onRemove, () => until(retryAt, action(strings.remove, "delete", handlers.onRemove))],
    [actions.has("sign_in"), handlers.loginUrl, () => link(strings.signIn, handlers.loginUrl, "button small")],
    [isOwnPath(error.help_url), true, () => helpLink(error)],
  ];
  const buttons = offers.filter(([isOpen, handler]) => isOpen && handler).map(([, , make]) => make());
  return buttons.length > 0 && h("div", { class: "error-actions" }, ...buttons);
}

/** `ariaDisabled` makes it do nothing; `disabled` would take the focus away before there is another place for it. */
function action(text, iconName, onClick) {
  const act = () => element.ariaDisabled || onClick();
  const element = button({ text, iconName, className: "button small", onClick: act });
  return element;
}

/** What can be done only before it is tried again: then it is on its way. */
function until(retryAt, element) {
  if (retryAt) setTimeout(() => (element.ariaDisabled = "true"), retryAt - Date.now());
  return element;
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
  return onceButton(strings.continueReply, "forward", strings.continuing, onContinue);
}

/** Asks again; not before that time, in epoch ms. */
export function retryButton(onRetry, notBefore = 0) {
  const retry = onceButton(strings.tryAgain, "retry", strings.askingAgain, onRetry);
  if (notBefore > Date.now()) {
    retry.disabled = true;
    const enable = () => {
      retry.disabled = false;
      setText(retry, strings.tryAgain);
    };
    countDown(notBefore, (seconds) => setText(retry, strings.tryAgainIn(seconds)), enable);
  }
  return retry;
}

/** Asks one time; from then on it says what is being done. */
function onceButton(text, iconName, doing, ask) {
  const element = action(text, iconName, () => {
    element.ariaDisabled = "true";
    setText(element, doing);
    ask();
  });
  return element;
}

export function referenceLine(reference) {
  const code = h("code", {}, reference);
  const copy = copyButton({ label: strings.copyReference(reference), text: () => reference, element: code });
  return h("p", { class: "reference" }, `${strings.reference} `, code, copy);
}

function setText(element, text) {
  element.lastChild.textContent = text;
}

/** Help pages are the site's own; anything else is not linked. Browsers drop tabs and line ends: "/\t/a.example" is "//a.example". */
function isOwnPath(url) {
  return typeof url === "string" && /^\/(?!\/)[^\s\\]*$/.test(url);
}
