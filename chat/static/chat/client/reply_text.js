/**
 * The text of one streaming reply, put together from chunks that say where they belong.
 *
 * The protocol counts Unicode code points; JavaScript's `length` counts UTF-16 units. This is the one place that
 * translates between the two.
 */

/** Number of Unicode code points in a text. */
export function codePoints(text) {
  let count = text.length;
  for (let index = 0; index < text.length - 1; index += 1) {
    if (isHighSurrogate(text.charCodeAt(index)) && isLowSurrogate(text.charCodeAt(index + 1))) {
      count -= 1;
      index += 1;
    }
  }
  return count;
}

export class ReplyText {
  text = "";
  /** Length of `text` in code points. */
  length = 0;

  /**
   * Put a chunk where it belongs.
   *
   * A chunk that begins inside what is there replaces everything from that place on: the server's word is newer.
   *
   * @param {string} content
   * @param {number} offset code points before the chunk
   * @returns {"appended" | "replaced" | "gap"} "gap": something before the chunk is missing; nothing was changed
   */
  apply(content, offset) {
    if (offset > this.length) return "gap";
    const change = offset === this.length ? "appended" : "replaced";
    if (change === "replaced") this.text = this.text.slice(0, unitIndex(this.text, offset));
    this.text += content;
    this.length = offset + codePoints(content);
    return change;
  }
}

/** Index in UTF-16 units of the code point number `offset`. */
function unitIndex(text, offset) {
  let index = 0;
  for (let left = offset; left > 0; left -= 1) index += text.codePointAt(index) > 0xffff ? 2 : 1;
  return index;
}

function isHighSurrogate(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
