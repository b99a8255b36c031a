/** What a person wrote: plain text, as it was typed. Addresses in it are links, and fenced code looks like code. */

import { h, OUTER_LINK } from "./dom.js";
import { addressesIn } from "./markdown_syntax.js";

const FENCED = /^(```|~~~)[^\n]*\n[^]*?(?:^\1[^\n]*$|$(?![^]))/gm; // an open fence goes on to the end

/** @returns {(string|Node)[]} together they have exactly this text */
export function ownText(content) {
  const parts = [];
  let end = 0;
  for (const { 0: code, index } of content.matchAll(FENCED)) {
    parts.push(...withLinks(content.slice(end, index)), h("code", {}, code));
    end = index + code.length;
  }
  return [...parts, ...withLinks(content.slice(end))];
}

function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const { index, lastIndex, url } of addressesIn(text)) {
    parts.push(text.slice(end, index), h("a", { href: url, ...OUTER_LINK }, text.slice(index, lastIndex)));
    end = lastIndex;
  }
  return [...parts, text.slice(end)];
}
