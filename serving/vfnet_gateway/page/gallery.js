/* The pictures of this visit, and which of them is looked at. */

let lastId = 0;

/** One picture and what became of it: `state` goes waiting → working → done or failed. */
export class Picture {
  /** @param source how it came: {name, blob} or {name, url}; `pasted` and `sample` say so in the recipes. */
  constructor({ name, blob = null, url = null, pasted = false, sample = false }) {
    Object.assign(this, { id: ++lastId, name, blob, url, pasted, sample });
    this.reset();
  }

  /** As it was before it was sent. */
  reset() {
    Object.assign(this, { state: "waiting", failure: null, boxes: null, responseText: "", timing: null });
    this.abort = new AbortController();
  }
}

/** Tells its listeners: "list" when pictures came, went or were chosen, "picture" when `detail` changed. */
export class Gallery extends EventTarget {
  pictures = [];
  selected = null;

  /** Put pictures at the end and look at the first of them. */
  add(pictures) {
    if (pictures.length === 0) return;
    this.pictures.push(...pictures);
    this.select(pictures[0]);
  }

  /** Look at one. */
  select(picture) {
    this.selected = picture;
    this.dispatchEvent(new Event("list"));
  }

  /** Let one go, stopping what is under way; its neighbour is looked at instead. */
  remove(picture) {
    const at = this.pictures.indexOf(picture);
    picture.abort.abort();
    this.pictures.splice(at, 1);
    if (this.selected === picture) this.selected = this.pictures[Math.min(at, this.pictures.length - 1)] ?? null;
    this.dispatchEvent(new Event("list"));
  }

  /** Let all go. */
  clear() {
    for (const picture of this.pictures) picture.abort.abort();
    this.pictures = [];
    this.selected = null;
    this.dispatchEvent(new Event("list"));
  }

  /** Say that something about a picture is different now. */
  changed(picture) {
    this.dispatchEvent(new CustomEvent("picture", { detail: picture }));
  }
}
