/** Building elements. Text goes in as text nodes only; only `markdown_view.js` ever parses markup, and sanitises it. */

import { ICONS } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/** What every link to another site has: the other site learns nothing, and gets no hold of the page. */
export const OUTER_LINK = { rel: "noopener noreferrer nofollow", target: "_blank" };

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {object} [attributes] `on` is a table of listeners; null and false leave an attribute out, true sets it empty
 * @param {...(Node|string|null|false)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

/** A decorative icon; the words beside it, or the button's label, say what it means. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button. Without visible `text`, `label` is its name. */
export function button({ text, label, iconName, className = "button", onClick }) {
  const title = text && !label ? null : label;
  const attributes = { type: "button", class: className, "aria-label": label, title, on: { click: onClick } };
  return h("button", attributes, iconName && icon(iconName), text);
}

/**
 * Call `show` with the whole seconds left, now and every second, until the time has come.
 *
 * @returns {() => void} stop
 */
export function countDown(until, show, onEnd = () => {}) {
  let timer = null;
  const tick = () => {
    const left = until - Date.now();
    if (left <= 0) {
      onEnd();
      return;
    }
    show(Math.ceil(left / 1_000));
    timer = setTimeout(tick, left % 1_000 || 1_000);
  };
  tick();
  return () => clearTimeout(timer);
}
