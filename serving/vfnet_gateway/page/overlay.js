/* Boxes and labels over the picture, as SVG in CSS pixels: sharp on any screen, text of one size. */

import { colourOf, css, readableOn } from "./colours.js";
import { svgElement } from "./elements.js";

const LABEL_HEIGHT = 18;
const LABEL_PADDING = 5;

/** Draws boxes into an <svg> that covers the picture. */
export class Overlay {
  #drawn = [];
  #boxes = [];

  constructor(svg, highlight) {
    this.svg = svg;
    this.highlight = highlight;
    new ResizeObserver(() => this.#place()).observe(svg);
    highlight.addEventListener("change", () => this.#bringForward());
    svg.addEventListener("pointerover", (event) => highlight.pass(indexOf(event.target)));
    svg.addEventListener("pointerleave", () => highlight.pass(null));
    svg.addEventListener("click", (event) => {
      if (indexOf(event.target) !== null) highlight.toggle(indexOf(event.target));
    });
  }

  /** Draw the boxes of a response, small ones over large ones so that the pointer reaches each. */
  show(boxes) {
    this.#boxes = boxes;
    this.#drawn = boxes.map(draw);
    const order = boxes.map((_, index) => index).sort((a, b) => area(boxes[b].box) - area(boxes[a].box));
    const outlines = svgElement("g", {}, ...order.map((index) => this.#drawn[index].outline));
    const labels = svgElement("g", {}, ...order.map((index) => this.#drawn[index].label));
    this.svg.replaceChildren(outlines, labels); // labels after all boxes: no line crosses a text
    this.#place();
  }

  /** Leave only these boxes to be seen. @param {Set<number>} shown places in the response */
  filter(shown) {
    this.#drawn.forEach(({ outline, label }, index) => {
      for (const part of [outline, label]) part.classList.toggle("out", !shown.has(index));
    });
  }

  #place() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (width === 0) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#drawn.forEach((drawn, index) => place(drawn, this.#boxes[index].box, width, height));
  }

  #bringForward() {
    const { index } = this.highlight;
    this.svg.classList.toggle("has-active", index !== null);
    this.#drawn.forEach(({ outline, label }, at) => {
      for (const part of [outline, label]) part.classList.toggle("active", at === index);
    });
    const chosen = this.#drawn[index];
    if (chosen) chosen.label.parentNode.append(chosen.label); // over the other labels
  }
}

function draw({ label, score }, index) {
  const colour = colourOf(label);
  const halo = svgElement("rect", { class: "halo" });
  const line = svgElement("rect", { class: "line", stroke: css(colour) });
  const plate = svgElement("rect", { class: "plate", fill: css(colour), height: LABEL_HEIGHT, rx: 2 });
  const text = svgElement("text", { fill: readableOn(colour) }, `${label} ${score.toFixed(2)}`);
  const properties = { "data-index": index };
  return {
    outline: svgElement("g", { ...properties, class: "box" }, halo, line),
    label: svgElement("g", { ...properties, class: "label" }, plate, text),
    rectangles: [halo, line],
    plate,
    text,
  };
}

function place({ rectangles, plate, text }, box, width, height) {
  const x = box.topX * width;
  const y = box.topY * height;
  for (const rectangle of rectangles) {
    set(rectangle, { x, y, width: (box.bottomX - box.topX) * width, height: (box.bottomY - box.topY) * height });
  }
  const plateWidth = text.getComputedTextLength() + 2 * LABEL_PADDING;
  const left = Math.max(0, Math.min(x, width - plateWidth));
  const top = y >= LABEL_HEIGHT ? y - LABEL_HEIGHT : Math.max(0, Math.min(y, height - LABEL_HEIGHT));
  set(plate, { x: left, y: top, width: plateWidth });
  set(text, { x: left + LABEL_PADDING, y: top + LABEL_HEIGHT - 5 });
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value.toFixed?.(2) ?? value);
}

function area(box) {
  return (box.bottomX - box.topX) * (box.bottomY - box.topY);
}

function indexOf(target) {
  const index = target.closest?.("[data-index]")?.dataset.index;
  return index === undefined ? null : Number(index);
}
