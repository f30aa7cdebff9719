/* One picture's result: boxes over it, the table beside it, what is filtered, where the time went, what went wrong. */

import { byId, bytes, colourOf, count, css, element, makeTabStop, milliseconds, readableOn, roam, svgElement } from "./elements.js";
import { storedPicture } from "./pictures.js";
import { Exchange } from "./recipes.js";

/* Which box is looked at: the one under the pointer or with the focus, else the one that was clicked. */

/** Tells its listeners "change"; `index` is a place in the response's boxes, or null. */
class Highlight extends EventTarget {
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

/* Least score and classes: which of the boxes that are here already are shown. Asks the server nothing. */

const USUAL_THRESHOLD = 0.3;

/** The controls. Tells its listeners "change". */
class Filter extends EventTarget {
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

/* Boxes and labels over the picture, as SVG in CSS pixels: sharp on any screen, text of one size. */

const LABEL_HEIGHT = 18;
const LABEL_PADDING = 5;

/** Draws boxes into an <svg> that covers the picture. */
class Overlay {
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

/* The detections as a table: the picture's alternative in words, and the keyboard's way to the boxes. */

/** Fills #table. */
class DetectionsTable {
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

/* Where the time went: a small bar chart with its numbers, as a table. */

const STAGE_NAMES = { read: "body read", parse: "JSON parsed", inference: "inference", write: "answer written" };
const IMAGE_STEP_NAMES = { fetch: "image fetched", wait: "waiting for a place", triton: "Triton asked" }; // of inference
const MODEL_STEP_NAMES = {
  preprocess: { wait: "let in", decode: "image decoded", resize: "resized" },
  detector: { wait: "waiting for its batch", network: "network", candidates: "best candidates" },
  postprocess: { nms: "overlaps removed", write: "JSON written" },
};

/** Fill #timings for a picture that is done. */
function showTimings(timing) {
  byId("timings").hidden = timing === null;
  if (timing === null) return;
  const rows = rowsOf(timing);
  const longest = Math.max(...rows.map((row) => row.ms ?? 0), 1);
  byId("timing-rows").replaceChildren(...rows.map((row) => tableRow(row, longest)));
  byId("timing-note").textContent = noteOn(timing);
}

/** [{name, ms, queueMs, depth}]: the browser's stages, the gateway's within them, Triton's models within those.
 *
 * The gateway's and the models' are what they measured for the spans of this very request. */
function rowsOf({ encodeMs, answerMs, serverTiming, drawMs }) {
  const ofModels = modelRows(serverTiming);
  const own = serverTiming.filter(({ name }) => name !== "total" && !isOfModel(name));
  const gateway = own.filter(({ name }) => !(name in IMAGE_STEP_NAMES));
  const steps = own.filter(({ name }) => name in IMAGE_STEP_NAMES).flatMap(({ name, ms }) => {
    const row = { name: `Gateway: ${IMAGE_STEP_NAMES[name]}`, ms, depth: 2 };
    return name === "triton" ? [row, ...ofModels] : [row];
  });
  const inner = gateway.flatMap(({ name, ms }) => {
    const row = { name: `Gateway: ${STAGE_NAMES[name] ?? name}`, ms, depth: 1 };
    return name === "inference" ? [row, ...steps] : [row];
  });
  return [
    { name: "Browser: base64", ms: encodeMs, depth: 0 },
    { name: "Upload and wait", ms: answerMs, depth: 0 },
    ...inner,
    { name: "Browser: draw", ms: drawMs, depth: 0 },
  ];
}

function isOfModel(name) {
  return name.split(".")[0] in MODEL_STEP_NAMES;
}

/** A row for each model, with how long the image was on its way there, and one for each of its steps. */
function modelRows(serverTiming) {
  const ofModels = serverTiming.filter(({ name }) => isOfModel(name));
  return ofModels.flatMap(({ name, ms }) => {
    const [model, step] = name.split(".");
    if (step === "queue") return [];
    if (step !== undefined) return [{ name: `${model}: ${MODEL_STEP_NAMES[model][step] ?? step}`, ms, depth: 4 }];
    const queueMs = ofModels.find((other) => other.name === `${model}.queue`)?.ms ?? null;
    return [{ name: `Triton: ${model}`, ms: ms + (queueMs ?? 0), queueMs, depth: 3 }];
  });
}

function tableRow({ name, ms, queueMs = null, depth }, longest) {
  const compute = element("span", { class: "bar compute" });
  const queue = element("span", { class: "bar queue" });
  compute.style.setProperty("--share", ((ms - queueMs) / longest).toFixed(4));
  queue.style.setProperty("--share", (queueMs / longest).toFixed(4));
  return element(
    "tr",
    { class: `depth-${depth}` },
    element("th", { scope: "row" }, name),
    element("td", { class: "number" }, ms === null ? "–" : milliseconds(ms)),
    element("td", { class: "number" }, queueMs === null ? "" : milliseconds(queueMs)),
    element("td", { class: "bars", "aria-hidden": "true" }, queue, compute),
  );
}

function noteOn({ serverTiming }) {
  const known = serverTiming.some(({ name }) => isOfModel(name));
  const told = "Indented stages are part of the one above; all are of this picture.";
  return known ? told : `${told} The models do not tell theirs: they were built before they could.`;
}

/* Why the picture looked at has no detections, and what can be done. */

/** Shows #problem. `again` sends a picture again, `say` speaks to screen readers. */
class Problem {
  #picture = null;
  #timer = null;

  constructor(again, say) {
    this.say = say;
    byId("retry").addEventListener("click", () => {
      if (this.#picture?.failure && this.#picture.failure.secondsLeft() === 0) again(this.#picture);
    });
  }

  /** Show a failed picture's problem; null hides it. */
  show(picture) {
    clearInterval(this.#timer);
    this.#picture = picture;
    byId("problem").hidden = picture === null;
    if (picture === null) return;
    const { title, reason, advice, retryable } = picture.failure;
    byId("problem-title").textContent = title;
    byId("problem-reason").textContent = reason;
    byId("problem-advice").textContent = advice;
    byId("retry").hidden = !retryable;
    if (!retryable) return;
    this.#count(false);
    if (picture.failure.secondsLeft() > 0) this.#timer = setInterval(() => this.#count(true), 250);
  }

  #count(wasWaiting) {
    const left = this.#picture.failure.secondsLeft();
    byId("retry").setAttribute("aria-disabled", String(left > 0)); // still in the way of the Tab key
    byId("retry").textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0 || !wasWaiting) return;
    clearInterval(this.#timer);
    this.say(`${this.#picture.name} can be sent again.`);
  }
}

/** What to say when a picture has failed. */
export function spoken({ name, failure }) {
  const left = failure.secondsLeft();
  return `${name}: ${failure.title}. ${failure.reason}${left > 0 ? ` Try again in ${count(left, "second")}.` : ""}`;
}

/* The picture looked at: its pixels, its boxes, its table, its times, or its problem. */

/** Shows one picture of a gallery in #result. */
export class Result {
  #picture = null;
  #state = undefined;
  #painted = { of: null, size: null, ms: 0, done: null }; // what the frame holds

  constructor(again, say) {
    this.highlight = new Highlight();
    this.overlay = new Overlay(byId("overlay"), this.highlight);
    this.table = new DetectionsTable(this.highlight);
    this.filter = new Filter();
    this.exchange = new Exchange();
    this.problem = new Problem(again, say);
    this.filter.addEventListener("change", () => this.#applyFilter());
    byId("result").addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.highlight.clear();
    });
  }

  /** Show a picture as it is now; null shows none. */
  async show(picture) {
    if (picture === this.#picture && picture?.state === this.#state) return; // the focus may be inside
    this.#picture = picture;
    this.#state = picture?.state;
    byId("result").hidden = picture === null;
    if (picture === null) return;
    const { state, name } = picture;
    byId("stage-title").textContent = name;
    byId("working").hidden = state !== "working" && state !== "waiting";
    byId("working").textContent = state === "waiting" ? "Waiting for its turn" : "Detecting";
    this.problem.show(state === "failed" ? picture : null);
    if (state !== "done") this.#hideDetections();
    await this.#paint(picture);
    if (picture !== this.#picture || state !== picture.state) return; // another call is on its way
    this.#describe(picture);
    if (state === "done") this.#showDetections(picture);
  }

  #hideDetections() {
    this.highlight.clear();
    this.overlay.show([]);
    byId("detections").hidden = byId("unshown").hidden = true;
    this.exchange.show(null);
    showTimings(null);
  }

  #paint(picture) {
    const of = picture.blob ?? picture;
    if (this.#painted.of !== of) {
      this.highlight.clear();
      this.overlay.show([]);
      this.#painted = { of, size: null, ms: 0 };
      this.#painted.done = this.#repaint(picture, this.#painted);
    }
    return this.#painted.done;
  }

  async #repaint(picture, painted) {
    const started = performance.now();
    const found = picture.blob ? await storedPicture(picture.blob).catch(() => null) : null;
    if (painted !== this.#painted) return; // another picture is looked at by now
    painted.size = found && { width: found.width, height: found.height };
    byId("frame").hidden = found === null;
    if (found) {
      byId("frame").style.setProperty("--ratio", found.width / found.height);
      byId("frame").querySelector("img")?.remove();
      byId("frame").prepend(found.image);
    }
    painted.ms = performance.now() - started;
  }

  #describe(picture) {
    const { size } = this.#painted;
    const facts = [size && `${size.width} × ${size.height} px`, picture.blob && bytes(picture.blob.size)];
    byId("stage-facts").textContent = facts.filter(Boolean).join(", ");
    byId("frame").querySelector("img")?.setAttribute("alt", description(picture));
  }

  #showDetections(picture) {
    const { size, ms } = this.#painted;
    const started = performance.now();
    byId("detections").hidden = false;
    this.#explainUnshown(picture, size);
    this.highlight.clear();
    this.overlay.show(picture.boxes);
    this.table.show(picture.boxes, size);
    this.filter.take(picture.boxes);
    picture.timing.drawMs ??= size ? ms + performance.now() - started : null;
    showTimings(picture.timing);
    this.exchange.show(picture);
  }

  #explainUnshown(picture, size) {
    byId("unshown").hidden = size !== null;
    byId("unshown").textContent = picture.blob
      ? "This browser cannot show pictures of this format. The server has read it: its detections are in the table."
      : "The picture is on another host, and this page loads nothing from there. Its detections are in the table.";
  }

  #applyFilter() {
    const shown = this.filter.shown();
    this.overlay.filter(shown);
    this.table.filter(shown);
  }
}

function description({ name, state, boxes }) {
  return state === "done" ? `${name} with ${count(boxes.length, "detection")}, listed in the table of detections` : name;
}
