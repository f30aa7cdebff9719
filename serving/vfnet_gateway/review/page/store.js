/* The captured images, as the gateway has them: read, and saved without writing over another's work. */

import { merged, same } from "./labels.js";

const KEY = "vfnet-review-key";
const AGAIN_MS = 3000; // a save that failed is tried again

/** The key, kept in this tab until it is closed. */
export const key = {
  get value() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set value(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
};

/** The gateway refused or did not answer; `message` is for the person. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    const headers = { Authorization: `Bearer ${key.value}`, ...options.headers };
    response = await fetch(path, { cache: "no-store", ...options, headers });
  } catch {
    throw new Refused(0, "The gateway does not answer.");
  }
  if (response.ok || response.status === 409) return response;
  const said = await response.json().catch(() => ({}));
  throw new Refused(response.status, said.message ?? `The gateway answered ${response.status}.`);
}

/** {images, counts, classes} */
export async function queue() {
  return (await ask("images")).json();
}

/** The bytes of an image, as a Blob. */
export async function picture(id) {
  return (await ask(`images/${id}/picture`)).blob();
}

/** One image that is looked at. Dispatches `change` (its boxes), `saved` and `unsaved`, `merged`. */
export class OpenImage extends EventTarget {
  #base; // what the store had when we last heard of it
  #isDirty = false;
  #isSaving = false;

  static async load(id) {
    return new OpenImage(await (await ask(`images/${id}`)).json());
  }

  constructor(record) {
    super();
    this.id = record.capture.id;
    this.record = record;
    this.labels = record.label;
    this.state = record.review?.state ?? null;
    this.version = record.version;
    this.failure = null;
    this.#base = record.label;
  }

  get isSaved() {
    return !this.#isDirty && !this.#isSaving;
  }

  /** Take what a person made of it, and save it. */
  set(labels, state, by) {
    this.labels = labels;
    this.state = state;
    this.by = by;
    this.#isDirty = true;
    this.dispatchEvent(new Event("change"));
    this.#save();
  }

  async #save() {
    if (this.#isSaving) return; // it looks again when it is done
    this.#isSaving = true;
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#put();
        this.failure = null;
      } catch (failure) {
        this.#isDirty = true;
        this.failure = failure;
        this.dispatchEvent(new Event("unsaved"));
        if (failure.status >= 400 && failure.status < 500 && failure.status !== 401 && failure.status !== 429) break; // never will be
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    this.#isSaving = false;
    if (this.failure === null) this.dispatchEvent(new Event("saved"));
  }

  async #put() {
    const labels = this.labels;
    const body = JSON.stringify({ label: labels, state: this.state, by: this.by });
    const headers = { "Content-Type": "application/json", "If-Match": `"${this.version}"` };
    const response = await ask(`images/${this.id}`, { method: "PUT", headers, body });
    const record = await response.json();
    this.version = record.version;
    if (response.status === 409) {
      const both = merged(this.#base, this.labels, record.label);
      const isMine = same(both, this.labels);
      this.#base = record.label;
      this.labels = both;
      if (!isMine) this.state = "begun"; // whoever decided had not seen all of it
      this.#isDirty = true;
      this.dispatchEvent(new Event("change"));
      this.dispatchEvent(new CustomEvent("merged", { detail: { isMine, by: record.review?.by ?? "" } }));
    } else {
      this.#base = labels;
    }
  }
}
