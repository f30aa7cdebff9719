/* The pictures: where they come from, their list, how they are stored, the strip that shows them. */

import { byId, count, element, makeTabStop, roam } from "./elements.js";

/* The pictures of this visit, and which of them is looked at. */

let lastId = 0;

/** One picture and what became of it: `state` goes waiting → working → done or failed. */
class Picture {
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

/* Pictures as their pixels are stored: EXIF orientation is ignored, as the server ignores it. */

/**
 * An <img> of a picture, still and unturned.
 *
 * Only an <img> laid out with `image-orientation: none` leaves a picture as it is stored: createImageBitmap and
 * drawImage turn it whatever they are told, and so does naturalWidth.
 *
 * @returns {Promise<{image: HTMLImageElement, width: number, height: number} | null>} with the stored size; null where
 *   the browser cannot read the picture.
 */
export async function storedPicture(blob) {
  const url = URL.createObjectURL((await isAnimatable(blob)) ? await firstFrame(blob) : blob);
  const image = element("img", { class: "as-stored measured", alt: "", src: url });
  document.body.append(image); // to be laid out
  try {
    await image.decode();
    const { offsetWidth: width, offsetHeight: height } = image;
    image.classList.remove("measured");
    return { image, width, height };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
    image.remove();
  }
}

/** Whether it is a GIF or a WebP: they may move, and the server looks at the first frame. */
async function isAnimatable(blob) {
  const head = new TextDecoder("latin1").decode(await blob.slice(0, 12).arrayBuffer());
  return head.startsWith("GIF8") || head.endsWith("WEBP");
}

async function firstFrame(blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    return (await new Promise((resolve) => canvas.toBlob(resolve))) ?? blob;
  } catch {
    return blob;
  }
}

/* How pictures come in: dropped, pasted, chosen, by address, or the sample. */

const SAMPLE = "sample.png";

/**
 * Wire it all up.
 *
 * @param {(pictures: Picture[]) => void} accept takes what came
 * @param {(text: string) => void} say tells what did not
 */
export function setUpIntake(accept, say) {
  setUpFiles(accept);
  setUpDropping(accept, say);
  setUpPasting(accept);
  byId("take-sample").addEventListener("click", () => takeSample(accept, say));
  byId("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    takeUrl(byId("url").value.trim(), accept);
  });
}

function setUpFiles(accept) {
  const input = byId("files");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    accept([...input.files].map(fromFile));
    input.value = ""; // so that the same file can be chosen again
  });
}

function setUpDropping(accept, say) {
  const over = (on) => byId("drop").classList.toggle("over", on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) over(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const files = [...event.dataTransfer.files];
    if (files.length > 0) accept(files.map(fromFile));
    else if (!takeUrl(event.dataTransfer.getData("text/uri-list").split("\n")[0].trim(), accept)) {
      say("Nothing to detect in was dropped.");
    }
  });
}

function setUpPasting(accept) {
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length > 0) {
      event.preventDefault();
      accept(files.map((file) => new Picture({ name: file.name || "pasted.png", blob: file, pasted: true })));
    } else if (!event.target.closest("input") && isWebAddress(event.clipboardData.getData("text/plain").trim())) {
      takeUrl(event.clipboardData.getData("text/plain").trim(), accept);
    }
  });
}

function fromFile(file) {
  return new Picture({ name: file.name, blob: file });
}

async function takeSample(accept, say) {
  try {
    const response = await fetch(SAMPLE);
    if (!response.ok) throw new Error(String(response.status));
    accept([new Picture({ name: SAMPLE, blob: await response.blob(), sample: true })]);
  } catch {
    say("The sample could not be loaded: is the gateway running?");
  }
}

function takeUrl(text, accept) {
  const input = byId("url");
  const good = isWebAddress(text);
  byId("url-error").hidden = good;
  byId("url-error").textContent = good ? "" : "Write a whole address, beginning with https:// or http://.";
  if (good) input.removeAttribute("aria-invalid");
  else {
    input.setAttribute("aria-invalid", "true");
    input.focus();
    return false;
  }
  input.value = "";
  const last = decodedOrRaw(new URL(text).pathname.split("/").pop());
  accept([new Picture({ name: last || new URL(text).hostname, url: text })]);
  return true;
}

function isWebAddress(text) {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function decodedOrRaw(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/* The row of thumbnails: a list box, with what became of each picture under it. */

/** Shows a gallery in #strip. */
export class Strip {
  #cards = new Map();

  constructor(gallery) {
    this.gallery = gallery;
    this.list = byId("strip");
    roam(this.list, () => [...this.list.children], (card) => this.#choose(card));
    this.list.addEventListener("click", (event) => this.#choose(event.target.closest("[role=option]")));
    this.list.addEventListener("keydown", (event) => this.#onKey(event));
    gallery.addEventListener("list", () => this.#showList());
    gallery.addEventListener("picture", (event) => this.refresh(event.detail));
  }

  /** Show a picture's state anew. */
  refresh(picture) {
    const card = this.#cards.get(picture);
    if (!card) return;
    card.dataset.state = picture.state;
    card.querySelector(".card-state").textContent = stateOf(picture);
  }

  #showList() {
    const { pictures, selected } = this.gallery;
    byId("strip-section").hidden = pictures.length === 0;
    for (const [picture, card] of this.#cards) {
      if (pictures.includes(picture)) continue;
      card.remove();
      this.#cards.delete(picture);
    }
    for (const picture of pictures) {
      if (!this.#cards.has(picture)) this.#addCard(picture);
      this.#cards.get(picture).setAttribute("aria-selected", String(picture === selected));
    }
    makeTabStop([...this.list.children], this.#cards.get(selected));
    this.#cards.get(selected)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #addCard(picture) {
    const thumbnail = element("span", { class: "thumbnail", "aria-hidden": "true" });
    const name = element("span", { class: "card-name" }, picture.name);
    const state = element("span", { class: "card-state" });
    const card = element("div", { role: "option", class: "card", title: picture.name }, thumbnail, name, state);
    this.#cards.set(picture, card);
    this.list.append(card);
    this.refresh(picture);
    this.showThumbnail(picture);
  }

  /** Show a picture's thumbnail, once its bytes are there. */
  async showThumbnail(picture) {
    const place = this.#cards.get(picture)?.querySelector(".thumbnail");
    if (!place || !picture.blob || place.dataset.asked) return;
    place.dataset.asked = "yes";
    const found = await storedPicture(picture.blob).catch(() => null);
    if (found) place.append(found.image);
  }

  #choose(card) {
    const found = [...this.#cards].find(([, known]) => known === card);
    if (found) this.gallery.select(found[0]);
  }

  #onKey(event) {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    if (document.activeElement?.parentElement !== this.list) return;
    event.preventDefault();
    this.gallery.remove(this.gallery.selected);
    (this.#cards.get(this.gallery.selected) ?? byId("choose")).focus();
  }
}

function stateOf(picture) {
  switch (picture.state) {
    case "waiting":
      return "waiting";
    case "working":
      return "detecting";
    case "failed":
      return `${picture.failure.title}: ${picture.failure.reason}`;
    default:
      return picture.boxes.length > 0 ? count(picture.boxes.length, "box", "boxes") : "nothing found";
  }
}
