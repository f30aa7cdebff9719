/* The tabs that show request and response, and the copy button. */

import { copyText } from "./clipboard.js";
import { byId, element, makeTabStop, roam } from "./elements.js";
import { TABS } from "./recipes.js";

/** Shows #exchange. */
export class Exchange {
  #picture = null;
  #chosen = TABS[0];
  #buttons;

  constructor() {
    this.#buttons = TABS.map((tab, index) => {
      const button = element("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "tab-panel" }, tab.name);
      button.addEventListener("click", () => this.#choose(tab));
      return button;
    });
    byId("tabs").append(...this.#buttons);
    roam(byId("tabs"), () => this.#buttons, (button) => button.click());
    byId("copy").addEventListener("click", () => this.#copy());
    this.#choose(this.#chosen);
  }

  /** Show the exchange of a picture that is done; null hides it. */
  show(picture) {
    this.#picture = picture;
    byId("exchange").hidden = picture === null;
    byId("copied").textContent = "";
    this.#write();
  }

  #choose(tab) {
    this.#chosen = tab;
    const button = this.#buttons[TABS.indexOf(tab)];
    for (const other of this.#buttons) other.setAttribute("aria-selected", String(other === button));
    makeTabStop(this.#buttons, button);
    byId("tab-panel").setAttribute("aria-labelledby", button.id);
    byId("copy").setAttribute("aria-label", `Copy: ${tab.name}`);
    byId("copied").textContent = "";
    this.#write();
  }

  async #write() {
    const [picture, tab] = [this.#picture, this.#chosen];
    if (picture === null) return;
    const text = await tab.shown(picture);
    if (picture !== this.#picture || tab !== this.#chosen) return;
    byId("recipe").textContent = text;
    byId("recipe-note").textContent = typeof tab.note === "function" ? tab.note(picture) : tab.note;
  }

  async #copy() {
    const done = await copyText(await this.#chosen.copied(this.#picture));
    byId("copied").textContent = done ? "Copied." : "The browser did not allow it: select the text and copy it.";
  }
}
