/* The detections as a table: the picture's alternative in words, and the keyboard's way to the boxes. */

import { colourOf, css } from "./colours.js";
import { byId, element, makeTabStop, roam } from "./elements.js";

/** Fills #table. */
export class DetectionsTable {
  #rows = [];

  constructor(highlight) {
    this.highlight = highlight;
    this.body = byId("table").tBodies[0];
    roam(this.body, () => this.#buttons());
    this.body.addEventListener("pointerover", (event) => highlight.pass(indexOf(event.target)));
    this.body.addEventListener("pointerleave", () => highlight.pass(null));
    this.body.addEventListener("focusin", (event) => highlight.pass(indexOf(event.target)));
    this.body.addEventListener("focusout", () => highlight.pass(null));
    this.body.addEventListener("click", (event) => {
      const index = indexOf(event.target);
      if (index !== null) highlight.toggle(index);
    });
    highlight.addEventListener("change", () => this.#mark());
  }

  /** One row for each box. @param size {width, height} of the stored picture, null where it is not known */
  show(boxes, size) {
    byId("table").hidden = boxes.length === 0;
    byId("position-head").textContent = size ? "x, y (px)" : "x, y (%)";
    byId("size-head").textContent = size ? "Size (px)" : "Size (%)";
    this.#rows = boxes.map((box, index) => row(box, index, size));
    this.body.replaceChildren(...this.#rows);
  }

  /** Leave only these rows. @param {Set<number>} shown places in the response */
  filter(shown) {
    this.#rows.forEach((tr, index) => (tr.hidden = !shown.has(index)));
    const buttons = this.#buttons();
    makeTabStop(buttons, buttons.find((button) => button.tabIndex === 0) ?? buttons[0]);
  }

  #buttons() {
    return this.#rows.filter((tr) => !tr.hidden).map((tr) => tr.querySelector("button"));
  }

  #mark() {
    this.#rows.forEach((tr, index) => {
      tr.classList.toggle("active", index === this.highlight.index);
      tr.querySelector("button").setAttribute("aria-pressed", String(index === this.highlight.kept));
    });
  }
}

function row({ box, label, score }, index, size) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.setProperty("--swatch", css(colourOf(label)));
  const name = `${index + 1}: ${label}, score ${score.toFixed(2)}`;
  const button = element("button", { type: "button", class: "row-button", tabindex: -1, "aria-pressed": "false", "aria-label": name }, String(index + 1));
  const { width, height } = size ?? { width: 100, height: 100 };
  const corner = `${Math.round(box.topX * width)}, ${Math.round(box.topY * height)}`;
  const extent = `${Math.round((box.bottomX - box.topX) * width)} × ${Math.round((box.bottomY - box.topY) * height)}`;
  return element(
    "tr",
    { "data-index": index },
    element("td", {}, button),
    element("th", { scope: "row" }, swatch, label),
    element("td", { class: "number" }, score.toFixed(3)),
    element("td", { class: "number" }, corner),
    element("td", { class: "number" }, extent),
  );
}

function indexOf(target) {
  const index = target.closest("tr")?.dataset.index;
  return index === undefined ? null : Number(index);
}
