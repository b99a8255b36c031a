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
   * Of one that begins inside what is there, only what goes beyond it is new: an old chunk takes nothing away.
   *
   * @param {string} content
   * @param {number} offset code points before the chunk
   * @returns {"appended" | "overlapping" | "gap"} "gap": something before the chunk is missing; nothing was changed
   */
  apply(content, offset) {
    if (offset > this.length) return "gap";
    const isNext = offset === this.length;
    const added = isNext ? content : content.slice(unitIndex(content, this.length - offset));
    this.text += added;
    this.length += codePoints(added);
    return isNext ? "appended" : "overlapping";
  }

  /** This is the text, whatever was there. */
  replace(text) {
    this.text = text;
    this.length = codePoints(text);
  }

  /** What is stored is no longer than this: the rest was shown, and lost with the process that wrote it. */
  cut(length = this.length) {
    if (length < this.length) this.replace(this.text.slice(0, unitIndex(this.text, length)));
  }
}

/** Index in UTF-16 units of the code point number `offset`; beyond the end of a shorter text. */
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
