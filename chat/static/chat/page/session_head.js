/** What the page says of the conversation as a whole: its name, its model, and whether it can be written to. */

import { strings } from "./strings.js";

export class SessionHead {
  #parts;
  #title = strings.product;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.title
   * @param {import("./composer.js").Composer} parts.composer
   * @param {import("./shell.js").ModelPicker} parts.models
   * @param {HTMLElement} parts.end the button that ends it
   * @param {HTMLElement} parts.endedNote
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @param {object} session {title, ended_at?, model_id?} @param {object} facts whether the server has it */
  show({ title, ended_at, model_id }, { isStored }) {
    this.showTitle(title);
    this.#parts.models.value = model_id;
    this.#setWritable(!ended_at);
    this.#parts.end.hidden = Boolean(ended_at) || !isStored;
  }

  showTitle(title) {
    this.#title = title || strings.untitled;
    this.#parts.title.textContent = this.#title;
    document.title = strings.conversationTitle(this.#title);
  }

  /** The server has it now: it can be ended. */
  showStored() {
    this.#parts.end.hidden = false;
  }

  /** Nobody can write here any more. */
  showEnded() {
    this.#parts.end.hidden = true;
    this.#setWritable(false);
  }

  /** It is not there: nothing can be written to it. */
  showMissing() {
    this.showTitle(strings.missingTitle);
    this.#parts.end.hidden = this.#parts.composer.hidden = true;
  }

  get isEnded() {
    return !this.#parts.endedNote.hidden;
  }

  #setWritable(isWritable) {
    const { composer, endedNote } = this.#parts;
    composer.hidden = !isWritable;
    endedNote.hidden = isWritable;
  }
}
