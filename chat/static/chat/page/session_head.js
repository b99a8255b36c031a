/** What the page says of the conversation as a whole: its name, its model, and whether it can be written to. */

import { strings } from "./strings.js";

export class SessionHead {
  #parts;
  #title = strings.untitled;
  #unreadCount = 0;

  /**
   * @param {object} parts
   * @param {string} parts.siteTitle
   * @param {HTMLElement} parts.title
   * @param {import("./conversation.js").Conversation} parts.conversation
   * @param {import("./composer.js").Composer} parts.composer
   * @param {import("./log_view.js").LogView} parts.log
   * @param {import("./shell.js").ModelPicker} parts.models
   * @param {HTMLElement} parts.listOpener the button that opens the list where it is out of sight
   * @param {HTMLElement} parts.end the button that ends it
   * @param {HTMLElement} parts.endedNote
   * @param {HTMLElement} parts.another the button in it that begins another one
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @param {object} session {title, ended_at?, model_id?} @param {object} facts whether the server has it */
  show({ title, ended_at, model_id }, { isStored }) {
    this.showTitle(title);
    this.#parts.models.value = model_id;
    this.#setWritable(!ended_at, { isStored });
  }

  showTitle(title) {
    this.#title = title || strings.untitled;
    this.#parts.title.textContent = this.#title;
    this.#showTabTitle();
  }

  /** In how many conversations there is something new: to be seen from another tab too, and without the list. */
  showUnread(count, mark) {
    this.#unreadCount = count;
    this.#parts.listOpener.classList.toggle("has-news", count > 0);
    this.#parts.listOpener.ariaDescription = strings.marks[mark] ?? null;
    this.#showTabTitle();
  }

  /** The server has it now: it can be ended. */
  showStored() {
    this.#parts.end.hidden = false;
  }

  /** Nobody can write here any more. */
  showEnded() {
    this.#setWritable(false);
  }

  /** It is not there: nothing can be written to it. */
  showMissing() {
    this.showTitle(strings.missingTitle);
    const { composer, end, log, models } = this.#parts;
    const focused = document.activeElement;
    end.hidden = composer.hidden = models.disabled = true;
    if (isGone(focused)) log.focus();
  }

  get isEnded() {
    return !this.#parts.endedNote.hidden;
  }

  #setWritable(isWritable, { isStored = true } = {}) {
    const { another, composer, conversation, end, endedNote, log, models } = this.#parts;
    conversation.setEnded(!isWritable);
    const focused = document.activeElement;
    end.hidden = !isWritable || !isStored;
    composer.hidden = !isWritable;
    endedNote.hidden = isWritable;
    models.disabled = !isWritable;
    if (!isGone(focused)) return;
    // Not to the button for who was typing: the next key would press it.
    const note = focused === end ? another : endedNote;
    (isWritable ? log : note).focus();
  }

  #showTabTitle() {
    const title = strings.conversationTitle(this.#title, this.#parts.siteTitle);
    document.title = this.#unreadCount ? strings.unreadTitle(this.#unreadCount, title) : title;
  }
}

/** Whether what had the focus cannot have it any more. */
function isGone(element) {
  return Boolean(element?.closest("[hidden], :disabled"));
}
