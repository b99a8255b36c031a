/**
 * Formulas in TeX: \( \), \[ \] and $$ $$ are shown as they were written, for Markdown would take marks out of them.
 *
 * They are not typeset: that would take more code than the rest of the page. Whoever copies one gets what works elsewhere.
 */

const CLOSING = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };
const BLOCK_MARKS = ["\\[", "$$"];

/** A plugin of markdown-it. With `isGrowing` in its environment, a block that is not closed yet is one all the same. */
export function math(markdown) {
  const { escapeHtml } = markdown.utils;
  markdown.inline.ruler.before("escape", "math", inline);
  markdown.block.ruler.before("fence", "math_block", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
  markdown.renderer.rules.math = (tokens, index) =>
    `<span class="math" dir="ltr">${escapeHtml(tokens[index].content)}</span>`;
  markdown.renderer.rules.math_block = (tokens, index) =>
    `<p class="math" dir="ltr">${escapeHtml(tokens[index].content)}</p>\n`;
}

function inline(state, isSilent) {
  const mark = state.src.slice(state.pos, state.pos + 2);
  if (!Object.hasOwn(CLOSING, mark)) return false;
  const end = state.src.indexOf(CLOSING[mark], state.pos + 2);
  if (end < state.pos + 3 || end + 2 > state.posMax) return false; // nothing is in it, or it is never closed
  if (!isSilent) state.push("math", "", 0).content = state.src.slice(state.pos, end + 2);
  state.pos = end + 2;
  return true;
}

function block(state, startLine, endLine, isSilent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false; // that is code
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const mark = state.src.slice(start, start + 2);
  if (!BLOCK_MARKS.includes(mark)) return false;
  const last = lastLine(state, mark, startLine, endLine);
  if (last === null) return false;
  if (isSilent) return true;
  state.line = last + 1;
  const token = state.push("math_block", "", 0);
  token.content = state.getLines(startLine, state.line, state.blkIndent, false).trim();
  token.map = [startLine, state.line];
  return true;
}

/** The line that closes the block; null if it is none. Dollars may mean something else: theirs ends with the paragraph. */
function lastLine(state, mark, startLine, endLine) {
  for (let line = startLine; line < endLine; line += 1) {
    if (line > startLine && state.sCount[line] < state.blkIndent && !state.isEmpty(line)) return null;
    if (mark === "$$" && state.isEmpty(line)) return null;
    const from = state.bMarks[line] + state.tShift[line] + (line === startLine ? 2 : 0);
    const text = state.src.slice(from, state.eMarks[line]);
    const end = text.indexOf(CLOSING[mark]);
    if (end >= 0) return text.slice(end + 2).trim() === "" ? line : null;
  }
  return state.env.isGrowing ? endLine - 1 : null;
}
