/* Sends waiting pictures, one at a time: then the times measured are those of one picture. */

import { pictureAt, requestBody, itemOf, score } from "./scoring.js";
import { between, stages, stagesAfter } from "./server_facts.js";

/** Works through a gallery. `limits` are the gateway's, as far as it tells them. */
export class Detecting {
  constructor(gallery, limits) {
    this.gallery = gallery;
    this.limits = limits;
    this.running = false;
  }

  /** Send a picture again. */
  again(picture) {
    picture.reset();
    this.gallery.changed(picture);
    this.start();
  }

  /** Send what waits. */
  async start() {
    if (this.running) return;
    this.running = true;
    try {
      for (let next = this.#next(); next; next = this.#next()) await this.#detect(next);
    } finally {
      this.running = false;
    }
  }

  #next() {
    return this.gallery.pictures.find((picture) => picture.state === "waiting");
  }

  async #detect(picture) {
    this.#becomes(picture, "working");
    try {
      await this.#measured(picture);
      this.#becomes(picture, "done");
    } catch (failure) {
      if (picture.abort.signal.aborted) return;
      picture.failure = failure;
      this.#becomes(picture, "failed");
    }
  }

  async #measured(picture) {
    const { signal } = picture.abort;
    const started = performance.now();
    const body = requestBody(await itemOf(picture));
    const encodeMs = performance.now() - started;
    const before = await stages();
    const sent = performance.now();
    const options = { size: picture.blob?.size ?? 0, limit: this.limits().max_body_bytes, signal };
    const { text, boxes, serverTiming } = await score(body, options);
    const answerMs = performance.now() - sent;
    const models = between(before, await stagesAfter(before));
    if (picture.url && !picture.blob) picture.blob = await pictureAt(picture.url, signal);
    picture.boxes = boxes;
    picture.responseText = text;
    picture.timing = { encodeMs, answerMs, serverTiming, models, drawMs: null };
  }

  #becomes(picture, state) {
    picture.state = state;
    this.gallery.changed(picture);
  }
}
