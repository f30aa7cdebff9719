/* The image and its boxes: chosen, drawn, moved and resized, by pointer and by keys. */

import { colourOf, css, svgElement } from "../ui/elements.js";
import { changed, moved, tidied } from "./labels.js";

const CORNERS = { nw: ["topX", "topY"], ne: ["bottomX", "topY"], sw: ["topX", "bottomY"], se: ["bottomX", "bottomY"] };
const HANDLE_PX = 9;
const LEAST_PX = 3; // on the screen: less is a click
const TEXT_PX = 13;

/** Draws into an SVG over the image. Dispatches `edit` with the new boxes in `detail`, and `choose`. */
export class Editor extends EventTarget {
  #labels = [];
  #drag = null;
  chosen = null;
  newLabel = "object";

  constructor(svg) {
    super();
    this.svg = svg;
    svg.setAttribute("preserveAspectRatio", "none");
    svg.addEventListener("pointerdown", (event) => this.#begin(event));
    svg.addEventListener("pointermove", (event) => this.#go(event));
    svg.addEventListener("pointerup", (event) => this.#end(event));
    svg.addEventListener("pointercancel", () => this.#drop());
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** Show these boxes over an image of so many pixels. */
  show(labels, size) {
    this.#labels = labels;
    this.size = size;
    if (this.chosen !== null && this.chosen >= labels.length) this.chosen = null;
    this.#draw();
  }

  /** Choose a box by its place; null chooses none. */
  choose(index) {
    this.chosen = index;
    this.#draw();
    this.dispatchEvent(new Event("choose"));
  }

  /** Choose the next box, or with -1 the one before. */
  step(by) {
    const count = this.#labels.length;
    if (count > 0) this.choose(this.chosen === null ? (by > 0 ? 0 : count - 1) : (this.chosen + by + count) % count);
  }

  /** Move the chosen box by image pixels, or its lower right corner. */
  nudge(dx, dy, resizes) {
    if (this.chosen === null) return;
    const label = this.#labels[this.chosen];
    const [x, y] = [dx / this.size.width, dy / this.size.height];
    const least = { x: 1 / this.size.width, y: 1 / this.size.height };
    const made = resizes
      ? tidied(changed(label, { bottomX: Math.max(label.bottomX + x, label.topX + least.x), bottomY: Math.max(label.bottomY + y, label.topY + least.y) }), { x: 0, y: 0 })
      : moved(label, x, y);
    if (made) this.#edit(this.#labels.with(this.chosen, made));
  }

  /** Add a box in the middle, and choose it. */
  add() {
    const box = { label: this.newLabel, topX: 0.375, topY: 0.375, bottomX: 0.625, bottomY: 0.625, isCrowd: 0 };
    this.chosen = this.#labels.length;
    this.#edit([...this.#labels, box]);
  }

  /** Remove a box. */
  remove(index = this.chosen) {
    if (index === null) return;
    this.chosen = null;
    this.#edit(this.#labels.toSpliced(index, 1));
  }

  /** Give a box another class. */
  rename(index, label) {
    if (this.#labels[index]?.label === label) return;
    this.#edit(this.#labels.with(index, changed(this.#labels[index], { label })));
  }

  #edit(labels) {
    this.#labels = labels;
    this.#draw();
    this.dispatchEvent(new CustomEvent("edit", { detail: labels }));
  }

  #at(event) {
    const { left, top, width, height } = this.svg.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }

  #begin(event) {
    if (event.button !== 0 || !this.size) return;
    const start = this.#at(event);
    const index = Number(event.target.dataset.index ?? -1);
    const corner = event.target.dataset.corner ?? null;
    const label = this.#labels[index] ?? { label: this.newLabel, topX: start.x, topY: start.y, bottomX: start.x, bottomY: start.y, isCrowd: 0 };
    this.#drag = { start, index: index < 0 ? this.#labels.length : index, corner: index < 0 ? "se" : corner, label, made: null };
    this.svg.setPointerCapture(event.pointerId);
    this.choose(index < 0 ? null : index);
  }

  #go(event) {
    if (!this.#drag) return;
    const { start, corner, label } = this.#drag;
    const at = this.#at(event);
    const [dx, dy] = [at.x - start.x, at.y - start.y];
    if (corner === null) {
      this.#drag.made = moved(label, dx, dy);
    } else {
      const [x, y] = CORNERS[corner];
      this.#drag.made = changed(label, { [x]: label[x] + dx, [y]: label[y] + dy });
    }
    this.#draw();
  }

  #end(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag?.made) return;
    const { width, height } = this.svg.getBoundingClientRect();
    const at = this.#at(event);
    const isClick = Math.hypot((at.x - drag.start.x) * width, (at.y - drag.start.y) * height) < LEAST_PX;
    const made = isClick ? null : tidied(drag.made, { x: LEAST_PX / width, y: LEAST_PX / height });
    if (made === null) return this.#draw();
    this.chosen = drag.index;
    this.#edit(this.#labels.toSpliced(drag.index, 1, made));
    this.dispatchEvent(new Event("choose"));
  }

  #drop() {
    this.#drag = null;
    this.#draw();
  }

  #draw() {
    const { width: shown } = this.svg.getBoundingClientRect();
    if (!this.size || shown === 0) return this.svg.replaceChildren();
    const { width, height } = this.size;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const pixel = width / shown; // of the screen, in image pixels
    const labels = [...this.#labels];
    if (this.#drag?.made) labels[this.#drag.index] = this.#drag.made;
    const drawn = labels.map((label, index) => this.#box(label, index, pixel));
    // The chosen one last, and small ones over large ones, so that both can be reached.
    const order = labels.map((_, index) => index).sort((a, b) => area(labels[b]) - area(labels[a]));
    this.svg.replaceChildren(...order.filter((index) => index !== this.chosen).map((index) => drawn[index]));
    if (drawn[this.chosen]) this.svg.append(drawn[this.chosen]);
  }

  #box(label, index, pixel) {
    const { width, height } = this.size;
    const [x, right] = [label.topX, label.bottomX].sort((a, b) => a - b).map((value) => value * width);
    const [y, bottom] = [label.topY, label.bottomY].sort((a, b) => a - b).map((value) => value * height);
    const place = { x, y, width: right - x, height: bottom - y };
    const text = svgElement("text", { x: x + 4 * pixel, y: y + (TEXT_PX + 2) * pixel, "font-size": TEXT_PX * pixel, "stroke-width": 3 * pixel }, label.label);
    const parts = [svgElement("rect", { ...place, class: "shadow" }), svgElement("rect", { ...place, class: "shape", stroke: css(colourOf(label.label)), "data-index": index }), text];
    if (index === this.chosen) {
      const side = HANDLE_PX * pixel;
      for (const [corner, [cx, cy]] of Object.entries({ nw: [x, y], ne: [right, y], sw: [x, bottom], se: [right, bottom] })) {
        parts.push(svgElement("rect", { x: cx - side / 2, y: cy - side / 2, width: side, height: side, class: `handle ${corner}`, "data-index": index, "data-corner": corner }));
      }
    }
    return svgElement("g", { class: index === this.chosen ? "active" : null }, ...parts);
  }
}

function area(label) {
  return Math.abs((label.bottomX - label.topX) * (label.bottomY - label.topY));
}
