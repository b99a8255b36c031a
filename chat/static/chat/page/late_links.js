/**
 * Parts of a text that name a link which is defined only further down: rendered once more when the definition is there.
 *
 * `markdown_view.js` shows a text part by part while it grows, so a part cannot know what comes after it.
 */

import { copyContext, undefinedLabels } from "./markdown_syntax.js";

export class LateLinks {
  #render;
  #waiting = []; // {text, context, labels, nodes}
  #due = [];
  #defined = 0; // definitions known when the waiting parts were last looked at

  /** @param {(text: string, context: object) => DocumentFragment} render */
  constructor(render) {
    this.#render = render;
  }

  get hasWork() {
    return this.#due.length > 0;
  }

  /**
   * A part was rendered.
   *
   * @param {string} text
   * @param {object} before the context before it
   * @param {object} context the context after it, with what it defines
   * @param {DocumentFragment} fragment
   */
  note(text, before, context, fragment) {
    const labels = undefinedLabels(text, context);
    if (labels.size) this.#waiting.push({ text, context: before, labels, nodes: [...fragment.childNodes] });
    const defined = Object.keys(context.references).length;
    if (defined === this.#defined) return;
    this.#defined = defined;
    const isDue = (part) => [...part.labels].some((label) => Object.hasOwn(context.references, label));
    this.#due.push(...this.#waiting.filter(isDue));
    this.#waiting = this.#waiting.filter((part) => !isDue(part));
  }

  /** Render one part anew, in its place. */
  renderOne({ references }) {
    const { text, context, nodes } = this.#due.shift();
    const now = { ...copyContext(context), references: { ...references } };
    const fragment = this.#render(text, now);
    const labels = undefinedLabels(text, now);
    if (labels.size) this.#waiting.push({ text, context, labels, nodes: [...fragment.childNodes] });
    nodes[0]?.before(fragment);
    for (const node of nodes) node.remove();
  }
}
