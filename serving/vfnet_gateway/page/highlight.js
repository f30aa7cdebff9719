/* Which box is looked at: the one under the pointer or with the focus, else the one that was clicked. */

/** Tells its listeners "change"; `index` is a place in the response's boxes, or null. */
export class Highlight extends EventTarget {
  #passing = null;
  #kept = null;

  /** The box to bring forward. */
  get index() {
    return this.#passing ?? this.#kept;
  }

  /** The box that was clicked. */
  get kept() {
    return this.#kept;
  }

  /** The pointer or the focus is on a box; null when on none. */
  pass(index) {
    this.#passing = index;
    this.#tell();
  }

  /** Keep a box highlighted; the same again lets it go. */
  toggle(index) {
    this.#kept = this.#kept === index ? null : index;
    this.#passing = this.#kept;
    this.#tell();
  }

  /** None at all. */
  clear() {
    this.#passing = this.#kept = null;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
