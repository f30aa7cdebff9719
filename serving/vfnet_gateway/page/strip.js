/* The row of thumbnails: a list box, with what became of each picture under it. */

import { byId, element, makeTabStop, roam } from "./elements.js";
import { storedPicture } from "./stored_picture.js";
import { count } from "./wording.js";

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
