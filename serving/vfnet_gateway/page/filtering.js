/* Least score and classes: which of the boxes that are here already are shown. Asks the server nothing. */

import { colourOf, css } from "./colours.js";
import { byId, element } from "./elements.js";
import { count } from "./wording.js";

const USUAL_THRESHOLD = 0.3;

/** The controls. Tells its listeners "change". */
export class Filter extends EventTarget {
  #hidden = new Set(); // labels, kept from picture to picture
  #chosen = false; // whether a person has set the threshold
  #boxes = [];
  #slider = byId("threshold");

  constructor() {
    super();
    this.#slider.addEventListener("input", () => {
      this.#chosen = true;
      this.#apply();
    });
    byId("all-classes").addEventListener("click", () => this.#hide(() => false));
    byId("no-classes").addEventListener("click", () => this.#hide(() => true));
    byId("class-list").addEventListener("change", (event) => {
      const { value, checked } = event.target;
      if (checked) this.#hidden.delete(value);
      else this.#hidden.add(value);
      this.#apply();
    });
  }

  /** Take the boxes of another response. Until a person sets it, the threshold is 0.3, or 0 where nothing reaches that. */
  take(boxes) {
    this.#boxes = boxes;
    if (!this.#chosen) this.#slider.value = boxes.some((box) => box.score >= USUAL_THRESHOLD) ? USUAL_THRESHOLD : 0;
    this.#listClasses();
    this.#apply();
  }

  /** Places in the response of the boxes to show. */
  shown() {
    const least = Number(this.#slider.value);
    const places = this.#boxes.map((_, index) => index);
    return new Set(places.filter((i) => this.#boxes[i].score >= least && !this.#hidden.has(this.#boxes[i].label)));
  }

  #apply() {
    const least = Number(this.#slider.value).toFixed(2);
    byId("threshold-value").textContent = least;
    const shown = this.shown().size;
    byId("shown").textContent = this.#boxes.length > 0 ? `${shown} of ${count(this.#boxes.length, "box", "boxes")} shown` : "Nothing found in this picture.";
    for (const chip of byId("class-list").querySelectorAll("label")) {
      const reached = this.#boxes.filter((box) => box.label === chip.dataset.label && box.score >= least).length;
      chip.querySelector(".tally").textContent = reached;
    }
    this.dispatchEvent(new Event("change"));
  }

  #listClasses() {
    const labels = [...new Set(this.#boxes.map((box) => box.label))];
    byId("classes").hidden = labels.length === 0;
    byId("class-list").replaceChildren(...labels.map((label) => this.#chip(label)));
  }

  #chip(label) {
    const box = element("input", { type: "checkbox", value: label });
    box.checked = !this.#hidden.has(label);
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.setProperty("--swatch", css(colourOf(label)));
    const tally = element("span", { class: "tally" });
    return element("label", { class: "chip", "data-label": label }, box, swatch, label, " ", tally);
  }

  #hide(decide) {
    for (const box of byId("class-list").querySelectorAll("input")) {
      box.checked = !decide(box.value);
      if (box.checked) this.#hidden.delete(box.value);
      else this.#hidden.add(box.value);
    }
    this.#apply();
  }
}
