/* The picture looked at: its pixels, its boxes, its table, its times, or its problem. */

import { DetectionsTable } from "./detections_table.js";
import { byId } from "./elements.js";
import { Exchange } from "./exchange.js";
import { Filter } from "./filtering.js";
import { Highlight } from "./highlight.js";
import { Overlay } from "./overlay.js";
import { Problem } from "./problem.js";
import { storedPicture } from "./stored_picture.js";
import { showTimings } from "./timings.js";
import { bytes, count } from "./wording.js";

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
