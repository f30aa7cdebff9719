/* The page at /ui: puts its parts together. */

import { askForKey, chooseModel, Detecting, info, setUpKeyForm } from "./asking.js";
import { byId, count, duration, element } from "./elements.js";
import { Gallery, setUpIntake, Strip } from "./pictures.js";
import { Result, spoken } from "./result.js";

let facts = {};
const gallery = new Gallery();
const detecting = new Detecting(gallery, () => facts.limits ?? {});
const strip = new Strip(gallery);
const result = new Result(again, say);

setUpIntake((pictures) => {
  gallery.add(pictures);
  detecting.start();
}, say);
setUpKeyForm(() => {
  refused().forEach(again);
  showFacts();
});
gallery.addEventListener("list", () => {
  result.show(gallery.selected);
  offerRetryOfAll();
});
gallery.addEventListener("picture", ({ detail: picture }) => {
  if (picture === gallery.selected) result.show(picture);
  strip.showThumbnail(picture);
  announce(picture);
  offerRetryOfAll();
});
byId("model").addEventListener("change", ({ target }) => {
  chooseModel(target.value);
  showFacts();
  gallery.pictures.filter(({ state }) => state === "done" || state === "failed").forEach(again);
});
byId("clear").addEventListener("click", () => {
  gallery.clear();
  byId("choose").focus();
});
byId("remove").addEventListener("click", () => {
  gallery.remove(gallery.selected);
  if (gallery.selected === null) byId("choose").focus();
});
byId("retry-all").addEventListener("click", () => ready().forEach(again));
showFacts();

function again(picture) {
  const hadFocus = byId("problem").contains(document.activeElement);
  detecting.again(picture);
  if (hadFocus) byId("result").focus({ preventScroll: true }); // the button is gone
}

function say(text) {
  byId("status").textContent = text;
}

function announce(picture) {
  if (picture.state === "working") say(`${picture.name}: detecting`);
  if (picture.state === "done") {
    say(`${picture.name}: ${count(picture.boxes.length, "box", "boxes")} in ${duration(picture.timing.answerMs)}`);
  }
  if (picture.state !== "failed") return;
  say(spoken(picture));
  if (picture.failure.status === 401) askForKey();
}

function refused() {
  return gallery.pictures.filter(({ failure }) => failure?.status === 401);
}

function ready() {
  return gallery.pictures.filter(({ failure }) => failure?.retryable && failure.secondsLeft() === 0);
}

function offerRetryOfAll() {
  byId("retry-all").hidden = gallery.pictures.filter(({ failure }) => failure?.retryable).length < 2;
}

/** A choice, where there is one. */
function offerModels(names) {
  byId("model-field").hidden = names.length < 2;
  const offered = [...byId("model").options].map(({ value }) => value);
  if (names.join() === offered.join()) return;
  byId("model").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
}

async function showFacts() {
  facts = await info();
  byId("untrained").hidden = facts.untrained !== true;
  offerModels(facts.models ?? []);
  if (facts.classes) {
    const names = facts.classes.slice(0, 6).join(", ");
    const more = facts.classes.length > 6 ? ` and ${facts.classes.length - 6} more` : "";
    byId("served").textContent = `Object detection, served by Triton: ${names}${more}`;
  }
  if (facts.needsKey) askForKey();
}
