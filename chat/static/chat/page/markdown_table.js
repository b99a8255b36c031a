/**
 * Limits for tables: Markdown fills in the cells that a row lacks, so a few characters could make thousands of elements.
 */

const COLUMNS_MAX = 64; // nobody reads a wider one; its text stays as it was written
const FILLED_MAX = 500; // empty cells at the ends of rows, in one part of a text; beyond them rows just end

/** A plugin of markdown-it: a table with too many columns is a paragraph. */
export function boundedTables(markdown) {
  markdown.block.ruler.before("table", "wide_table", wideTable);
}

function wideTable(state, startLine, endLine, isSilent) {
  if (isSilent || startLine + 2 > endLine || state.sCount[startLine] - state.blkIndent >= 4) return false;
  const ruled = state.src.slice(state.bMarks[startLine + 1] + state.tShift[startLine + 1], state.eMarks[startLine + 1]);
  if (!/^[|:\- \t]+$/.test(ruled) || (ruled.match(/-+/g)?.length ?? 0) <= COLUMNS_MAX || !ruled.includes("|")) return false;
  let end = startLine + 2;
  while (end < endLine && !state.isEmpty(end) && state.sCount[end] >= state.blkIndent) end += 1;
  state.line = end;
  const map = [startLine, end];
  state.push("paragraph_open", "p", 1).map = map;
  const content = state.getLines(startLine, end, state.blkIndent, false).trim();
  Object.assign(state.push("inline", "", 0), { content, map, children: [] });
  state.push("paragraph_close", "p", -1);
  return true;
}

/** The tokens of a text, without the empty cells at the ends of rows that are too many. */
export function withoutFilling(tokens) {
  const kept = [];
  let filled = 0;
  for (const token of tokens) {
    if (token.type === "tr_close") {
      const empty = emptyCells(kept);
      filled += empty;
      kept.length -= 3 * Math.min(Math.max(0, filled - FILLED_MAX), empty);
    }
    kept.push(token);
  }
  return kept;
}

/** How many cells at the end of these tokens are empty; each is three of them. */
function emptyCells(tokens) {
  let count = 0;
  const token = (place) => tokens.at(-3 * count - place);
  while (token(3)?.type === "td_open" && token(2).content === "") count += 1;
  return count;
}
