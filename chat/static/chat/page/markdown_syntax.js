/**
 * The Markdown that answers are written in: CommonMark with tables, and where a text that still grows can be cut.
 *
 * Text in, HTML text out; `markdown_view.js` sanitises it before anything reaches the page. No DOM here.
 */

import MarkdownIt from "../vendor/markdown-it/markdown-it.esm.min.mjs";
import { math } from "./markdown_math.js";
import { boundedTables, withoutFilling } from "./markdown_table.js";

const ADDRESS = /^(?:https?:\/\/|mailto:)/i; // what a link may lead to
const HEADINGS_FROM = 2; // the page's own title is the h1

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true });
markdown.use(math);
markdown.use(boundedTables);
markdown.validateLink = (url) => ADDRESS.test(url.trim());
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false }); // "main.py" is no link

/** Pictures are not loaded, which would tell another site who reads what: their address is offered as a link. */
markdown.renderer.rules.image = (tokens, index) => {
  const { escapeHtml } = markdown.utils;
  const token = tokens[index];
  const name = escapeHtml(token.content || token.attrGet("src"));
  const opened = tokens.slice(0, index).reduce((depth, { type }) => depth + (LINK_NESTING[type] ?? 0), 0);
  return opened > 0 ? name : `<a href="${escapeHtml(token.attrGet("src"))}">${name}</a>`;
};
const LINK_NESTING = { link_open: 1, link_close: -1 };

const PROSE_CHARS = 24; // a cell with more than that is read as lines of text, and needs room for them

/** Cells say their side with a class: the content security policy forbids style attributes. */
for (const cell of ["th_open", "td_open"]) {
  markdown.renderer.rules[cell] = (tokens, index, options, env, renderer) => {
    const side = tokens[index].attrGet("style")?.replace("text-align:", "");
    tokens[index].attrs = null;
    if (side) tokens[index].attrJoin("class", `align-${side}`);
    if (tokens[index + 1].content.length > PROSE_CHARS) tokens[index].attrJoin("class", "prose");
    return renderer.renderToken(tokens, index, options);
  };
}

/** The box of a task: `markdown_view.js` says what it means. */
markdown.renderer.rules.task = (tokens, index) => `<span class="task${tokens[index].meta.isDone ? " done" : ""}"></span>`;

/** Blocks with a side on which they begin: it is that of their first words, from right to left or not. */
const DIRECTED = new Set(["bullet_list_open", "ordered_list_open", "blockquote_open"]);

/**
 * What one part of a text leaves to the parts after it: link definitions, the level of the last heading, and in a list
 * that was cut the number that its next item has.
 */
export function newContext() {
  return { references: {}, heading: HEADINGS_FROM - 1, number: null };
}

export function copyContext(context) {
  return { ...context, references: { ...context.references } };
}

/** HTML of a part of a text; what it defines is added to `context`. Not to be trusted: it came from a model. */
export function toHtml(text, context) {
  const tokens = withoutFilling(markdown.parse(text, context));
  if (context.number !== null && tokens[0]?.type === "ordered_list_open") tokens[0].attrSet("start", context.number);
  makeRoomForNumbers(tokens);
  makeTasks(tokens);
  for (const token of tokens) {
    if (DIRECTED.has(token.type)) token.attrSet("dir", "auto");
    if (token.type === "heading_open") context.heading = headingLevel(token.tag, context.heading);
    if (token.type.startsWith("heading_")) token.tag = `h${context.heading}`;
  }
  return markdown.renderer.render(tokens, markdown.options, context);
}

/** An item that begins with "[ ]" or "[x]" is a task. */
function makeTasks(tokens) {
  for (const [index, { type, children }] of tokens.entries()) {
    const item = type === "inline" && tokens[index - 2];
    const [mark] = (item?.type === "list_item_open" && /^\[[ xX]\] +/.exec(children[0]?.content)) || [];
    if (!mark) continue;
    item.attrJoin("class", "task-item");
    const task = new item.constructor("task", "", 0);
    task.meta = { isDone: mark[1] !== " " };
    children[0].content = children[0].content.slice(mark.length);
    children.unshift(task);
  }
}

/** Says with a class how many digits the numbers of a list have, where they are many. */
function makeRoomForNumbers(tokens) {
  const lists = [];
  for (const token of tokens) {
    if (token.type.endsWith("_list_open")) lists.push({ token, last: Number(token.attrGet("start") ?? 1) - 1 });
    else if (token.type === "list_item_open") lists.at(-1).last += 1;
    else if (token.type.endsWith("_list_close")) {
      const { token: list, last } = lists.pop();
      const digits = Math.min(String(last).length, 5);
      if (list.type === "ordered_list_open" && digits > 2) list.attrJoin("class", `digits-${digits}`);
    }
  }
}

/** A heading is at most one level below the one before it, whatever the model counts from. */
function headingLevel(tag, previous) {
  const wanted = Number(tag.slice(1)) + HEADINGS_FROM - 1;
  return Math.max(HEADINGS_FROM, Math.min(wanted, previous + 1, 6));
}

/** Addresses of the web in a plain text: [{index, lastIndex, url}]. */
export function addressesIn(text) {
  return (markdown.linkify.match(text) ?? []).filter(({ url }) => /^https?:/i.test(url));
}

/** Names in brackets that would be links if they were defined: their definition may come later in the text. */
export function undefinedLabels(text, { references }) {
  const names = [...text.matchAll(/\[([^[\]]{1,200})\]/g)].map(([, name]) => markdown.utils.normalizeReference(name));
  return new Set(names.filter((name) => !Object.hasOwn(references, name)));
}

/** The block structure of a text: its top-level blocks, and those directly inside a list. */
function blocksOf(text) {
  const tokens = [];
  markdown.block.parse(text, markdown, { references: {}, isGrowing: true }, tokens);
  const starts = (wanted) => tokens.filter(({ map, level, nesting }) => map && level === wanted && nesting >= 0);
  return { blocks: starts(0), items: starts(1).filter(({ type }) => type === "list_item_open") };
}

/**
 * How many characters at the beginning of a growing text are finished: whatever follows, they mean the same.
 *
 * A block is finished when the next one has begun. What begins where can still change with the last line, which may be
 * incomplete, and the line before it, which may turn out to be the head of a table.
 */
export function finishedLength(text) {
  const lines = text.split("\n");
  const start = blocksOf(text).blocks.findLast(({ map }) => map[0] <= lines.length - 3)?.map[0] ?? 0;
  return lengthOfLines(lines, start);
}

const LONG_CHARS = 1_500; // a list, a quotation or a table this long is cut between its parts
const LONG_PARAGRAPH_CHARS = 6_000; // a cut in a paragraph is seen, so only a monstrous one is cut

/**
 * Where to cut a block that has grown too long to be rendered again and again, and what has to be repeated after the
 * cut: the head of a table. A list is cut between two items; other blocks at the end of a line or, in one long line,
 * at a space.
 *
 * @param {string} text
 * @param {number|null} number that the first item of the list has, if the list was cut before
 * @returns {{length: number, repeat: string, number: number|null}} length 0: it is not long, or cannot be cut well;
 *   `number` is that of the first item after the cut
 */
export function cutLength(text, number = null) {
  const lines = text.split("\n");
  const { blocks, items } = blocksOf(text);
  const type = blocks[0]?.type ?? "";
  const at = (length, more = {}) => ({ length, repeat: "", number: null, ...more });
  if (type === "math_block") return at(0);
  if (text.length < (type === "paragraph_open" ? LONG_PARAGRAPH_CHARS : LONG_CHARS)) return at(0);
  if (type.endsWith("_list_open")) {
    const index = items.findLastIndex(({ map }) => map[0] > 0 && map[0] <= lines.length - 2);
    if (index < 1) return at(0);
    const first = number ?? Number(blocks[0].attrGet("start") ?? 1);
    return at(lengthOfLines(lines, items[index].map[0]), { number: type[0] === "o" ? first + index : null });
  }
  const whole = lengthOfLines(lines, lines.length - 1);
  if (type === "table_open") {
    const head = lines.slice(blocks[0].map[0], blocks[0].map[0] + 2).join("\n");
    return at(lines.length > 4 ? whole : 0, { repeat: `${head}\n` });
  }
  return at(whole || text.lastIndexOf(" ") + 1);
}

function lengthOfLines(lines, count) {
  return lines.slice(0, count).reduce((length, line) => length + line.length + 1, 0);
}

/** A line that opens a block of code outside of any other block: {indent, marker, language, length}; null if none. */
export function openingFence(text) {
  const found = /^( {0,3})(`{3,}|~{3,})([^\n]*)\n/.exec(text);
  if (!found || (found[2][0] === "`" && found[3].includes("`"))) return null;
  const [line, indent, marker, info] = found;
  return { indent: indent.length, marker, language: info.trim().split(/\s+/)[0], length: line.length };
}

/** Whether a line closes that block of code; with `isWhole` false, whether it may still become such a line. */
export function closesFence(line, { marker }, isWhole = true) {
  const rest = line.replace(/^ {0,3}/, "");
  const count = rest.length - rest.replace(marker[0] === "`" ? /^`+/ : /^~+/, "").length;
  const isBlankAfter = rest.slice(count).trim() === "";
  return isBlankAfter && (isWhole ? count >= marker.length : count > 0 || rest === "");
}
