/* The review page: which image is looked at, what keys and buttons do, and what is said of it. */

import { byId, colourOf, count, css, element } from "../ui/elements.js";
import { Editor } from "./editor.js";
import { key, OpenImage, picture, queue, Refused } from "./store.js";

const NAME = "vfnet-reviewer";
const editor = new Editor(byId("boxes"));
const history = []; // {image, labels, state}: before each change, of any image
const opened = new Map(); // images that were opened, by id: one that is not saved yet is not loaded again
let entries = []; // of the queue, as listed
let classes = [];
let current = null; // an OpenImage
let blobAddress = null;

/* The queue. */

async function refresh() {
  let listed;
  try {
    listed = await queue();
  } catch (refused) {
    return tell(refused);
  }
  byId("key-form").hidden = true;
  byId("forget-key").hidden = key.value === "";
  byId("desk").hidden = false;
  entries = listed.images.filter(({ id }) => !isDecided(opened.get(id)));
  classes = listed.classes;
  byId("classes").replaceChildren(...classes.map((name) => element("option", { value: name })));
  if (!byId("new-label").value) byId("new-label").value = classes[0] ?? "object";
  takeNewLabel();
  const { open, accepted, left_out: leftOut } = listed.counts;
  byId("counts").textContent = `${count(open, "image")} to review, ${accepted} accepted, ${leftOut} left out`;
  byId("queue-rest").textContent = open > entries.length ? `and ${open - entries.length} more` : "";
  showQueue();
  if (current === null && entries.length > 0) await open_(entries[0].id);
  if (current === null) say("Nothing is left to review.");
}

function isDecided(image) {
  return image?.state === "accepted" || image?.state === "left_out";
}

function showQueue() {
  byId("queue").replaceChildren(
    ...entries.map(({ id, certainty }) => {
      const tally = element("span", { class: "tally" }, opened.get(id)?.state === "begun" ? "begun" : "");
      const name = `Certainty ${certainty.toFixed(2)}`;
      const button = element("button", { type: "button", class: "entry", "aria-current": id === current?.id, "data-id": id }, name, tally);
      return element("li", {}, button);
    }),
  );
}

byId("queue").addEventListener("click", (event) => {
  const id = event.target.closest("button")?.dataset.id;
  if (id) open_(id);
});
byId("refresh").addEventListener("click", refresh);

/* The image. */

async function open_(id) {
  try {
    const image = opened.get(id) ?? (await OpenImage.load(id));
    if (!opened.has(id)) watch(image);
    opened.set(id, image);
    current = image;
    byId("stage-title").textContent = `Image ${id.slice(-8)}`;
    describe();
    showQueue();
    await paint(image);
    if (current !== image) return; // another was chosen meanwhile
    show();
    byId("frame").focus({ preventScroll: true });
  } catch (refused) {
    if (refused.status === 404) {
      entries = entries.filter((entry) => entry.id !== id);
      showQueue();
    }
    tell(refused);
  }
}

function watch(image) {
  image.addEventListener("change", () => image === current && show());
  image.addEventListener("saved", () => {
    byId("alarm").hidden = ![...opened.values()].some((each) => each.failure);
    if (image === current) describe();
  });
  image.addEventListener("unsaved", () => {
    tell(image.failure, `Image ${image.id.slice(-8)} is not saved: `);
    if (image === current) describe();
  });
  image.addEventListener("merged", ({ detail }) => {
    const who = detail.by || "Another reviewer";
    if (detail.isMine) return say(`${who} has looked at image ${image.id.slice(-8)} too; nothing of yours changed.`);
    say(`${who} has changed image ${image.id.slice(-8)} at the same time. Both changes are kept: please look at it again.`);
    if (!entries.some(({ id }) => id === image.id)) entries.unshift({ id: image.id, certainty: image.record.capture.certainty });
    showQueue();
  });
}

async function paint(image) {
  const { width, height } = image.record.image_details;
  byId("frame").style.setProperty("--ratio", width / height);
  editor.show([], null);
  const blob = await picture(image.id);
  if (current !== image) return;
  if (blobAddress) URL.revokeObjectURL(blobAddress);
  blobAddress = URL.createObjectURL(blob.slice(0, blob.size, "image/*"));
  const shown = element("img", { src: blobAddress, alt: "", class: "as-stored", draggable: "false" });
  byId("frame").querySelector("img")?.remove();
  byId("frame").prepend(shown);
  byId("unshown").hidden = await shown.decode().then(() => true, () => false);
}

function show() {
  const { width, height } = current.record.image_details;
  editor.show(current.labels, { width, height });
  showObjects();
  describe();
}

function describe() {
  const { capture, image_details: details } = current.record;
  const facts = [`${details.width} × ${details.height} px`, `certainty ${capture.certainty.toFixed(2)}`, capture.at.slice(0, 16).replace("T", " "), capture.deployment];
  byId("stage-facts").textContent = facts.join(", ");
  const words = { accepted: "accepted", left_out: "left out", begun: "changed" };
  const state = words[current.state] ?? "not reviewed";
  byId("saved").textContent = current.isSaved ? `${state}, version ${current.version}` : `${state}, not saved yet`;
  byId("saved").classList.toggle("unsaved", current.failure !== null);
  byId("undo").setAttribute("aria-disabled", String(history.length === 0));
}

/* The objects. */

function showObjects() {
  byId("no-objects").hidden = current.labels.length > 0;
  byId("list").replaceChildren(...current.labels.map(objectRow));
}

function objectRow(label, index) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.setProperty("--swatch", css(colourOf(label.label)));
  const name = element("input", { type: "text", list: "classes", value: label.label, maxlength: 200, spellcheck: "false", autocomplete: "off", "aria-label": `Class of object ${index + 1}` });
  name.addEventListener("focus", () => {
    if (editor.chosen !== index) editor.choose(index);
    name.select();
  });
  name.addEventListener("change", () => name.value.trim() && editor.rename(index, name.value.trim()));
  const score = element("span", { class: "number" }, label.score === undefined ? "you" : label.score.toFixed(2));
  const remove = element("button", { type: "button", class: "quiet", "aria-label": `Remove object ${index + 1}` }, "✕");
  remove.addEventListener("click", () => editor.remove(index));
  return element("li", { class: index === editor.chosen ? "object active" : "object" }, swatch, name, score, remove);
}

editor.addEventListener("edit", ({ detail }) => decide(detail, "begun"));
editor.addEventListener("choose", () => {
  [...byId("list").children].forEach((row, index) => row.classList.toggle("active", index === editor.chosen));
});

/* What a person decides. */

function decide(labels, state) {
  history.push({ image: current, labels: current.labels, state: current.state });
  current.set(labels, state, byId("reviewer").value.trim());
  describe();
}

async function finish(state) {
  if (!current) return;
  const { id } = current;
  const at = entries.findIndex((entry) => entry.id === id);
  decide(current.labels, state);
  say(`Image ${id.slice(-8)} is ${state === "accepted" ? "accepted" : "left out"}.`);
  entries = entries.filter((entry) => entry.id !== id);
  await go(Math.max(at, 0));
}

async function go(at) {
  if (entries.length > 0) return open_(entries[Math.min(Math.max(at, 0), entries.length - 1)].id);
  showQueue();
  return refresh();
}

async function undo() {
  const before = history.pop();
  if (!before) return;
  const { image, labels, state } = before;
  if (!entries.some(({ id }) => id === image.id)) entries.unshift({ id: image.id, certainty: image.record.capture.certainty });
  if (image !== current) await open_(image.id);
  image.set(labels, state ?? "begun", byId("reviewer").value.trim());
  say("Undone.");
  showQueue();
  describe();
}

function step(by) {
  go(entries.findIndex(({ id }) => id === current?.id) + by);
}

function add() {
  editor.add();
  editor.choose(editor.chosen);
}

function takeNewLabel() {
  editor.newLabel = byId("new-label").value.trim() || classes[0] || "object";
}

byId("accept").addEventListener("click", () => finish("accepted"));
byId("leave-out").addEventListener("click", () => finish("left_out"));
byId("undo").addEventListener("click", undo);
byId("next").addEventListener("click", () => step(1));
byId("previous").addEventListener("click", () => step(-1));
byId("add").addEventListener("click", add);
byId("new-label").addEventListener("change", takeNewLabel);

/* Keys. They mean letters where a person types. */

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  Enter: () => finish("accepted"),
  x: () => finish("left_out"),
  z: undo,
  n: () => step(1),
  p: () => step(-1),
  a: add,
  ",": () => editor.step(-1),
  ".": () => editor.step(1),
  Delete: () => editor.remove(),
  Backspace: () => editor.remove(),
  Escape: () => editor.choose(null),
};

document.addEventListener("keydown", (event) => {
  const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
  const isTyping = event.target.matches("input, select, textarea");
  if (!current || isTyping || (!isUndo && (event.ctrlKey || event.metaKey))) return;
  if (event.target.matches("button") && (event.key === "Enter" || event.key === " ")) return; // presses the button
  if (event.key in ARROWS && editor.chosen !== null && event.target.closest("#frame, body")) {
    const [x, y] = ARROWS[event.key];
    const speed = event.shiftKey ? 10 : 1;
    event.preventDefault();
    return editor.nudge(x * speed, y * speed, event.altKey);
  }
  const named = classes[Number(event.key) - 1];
  if (named && editor.chosen !== null && /^[1-9]$/.test(event.key)) return editor.rename(editor.chosen, named);
  const act = event.altKey ? null : KEYS[isUndo ? "z" : event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

/* What is said, and who is let in. */

function say(words) {
  byId("status").textContent = words;
}

function tell(refused, before = "") {
  if (!(refused instanceof Refused)) throw refused;
  if (refused.status === 401) {
    byId("key-form").hidden = false;
    byId("key-error").textContent = key.value ? "This key does not open the review page." : "";
    byId("key").focus();
    return;
  }
  byId("alarm").hidden = false;
  byId("alarm").textContent = before + refused.message;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.value = byId("key").value.trim();
  byId("key").value = "";
  refresh();
});
byId("forget-key").addEventListener("click", () => {
  key.value = "";
  location.reload();
});
byId("reviewer").value = localStorage.getItem(NAME) ?? "";
byId("reviewer").addEventListener("change", () => localStorage.setItem(NAME, byId("reviewer").value.trim()));
window.addEventListener("beforeunload", (event) => {
  if ([...opened.values()].some((image) => !image.isSaved)) event.preventDefault();
});

refresh();
