/* Asking the gateway: the key, a request and what can come of it, facts about the server, one picture after the other. */

import { byId, bytes } from "./elements.js";

/* The bearer key: in this tab's session storage and nowhere else. */

const NAME = "vfnet-access-key";
let key = readStored();

/** The headers that open the gateway; none without a key. */
function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/* Which of several models is asked. */

const MODEL_HEADER = "azureml-model-deployment";
let model = null;

/** Ask this one from now on; null leaves it to the gateway. */
export function chooseModel(name) {
  model = name;
}

/** Headers, as pairs, that ask the model that a picture was sent to; none where the gateway chose. */
export function modelHeaders({ model }) {
  return model === null ? [] : [[MODEL_HEADER, model]];
}

/** Whether a key is set. */
export function hasKey() {
  return key !== "";
}

/** Wire the form up. `onKey` is called when there is a new key to try. */
export function setUpKeyForm(onKey) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(given)) {
      showError(given ? "A key has letters, digits and signs without spaces." : "Type the key first.");
      return;
    }
    store(given);
    byId("key").value = "";
    byId("key-form").hidden = true;
    onKey();
  });
  byId("forget-key").addEventListener("click", () => {
    store("");
    byId("choose").focus();
  });
  store(key);
}

/** Ask for a key: the server refused without one, or refused the one it got. */
export function askForKey() {
  byId("key-form").hidden = false;
  showError(hasKey() ? "The server does not accept this key." : "The server asks for a key.");
}

function showError(text) {
  byId("key-error").textContent = text;
  byId("key").setAttribute("aria-invalid", "true");
}

function store(value) {
  key = value;
  byId("forget-key").hidden = value === "";
  byId("key").removeAttribute("aria-invalid");
  byId("key-error").textContent = "";
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Storage is switched off: the key lives as long as the page.
  }
}

function readStored() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/* What can go wrong with a picture, in words that say what to do. */

/** Why a picture has no detections. `title` is short, `reason` the server's own words. */
class Failure extends Error {
  constructor(status, title, reason, { advice = "", retryAfter = 0, retryable = true } = {}) {
    super(reason);
    Object.assign(this, { status, title, reason, advice, retryable });
    /** When the server wants to be asked again, in performance.now()'s time. */
    this.retryAt = performance.now() + 1000 * retryAfter;
  }

  /** Whole seconds until then. */
  secondsLeft() {
    return Math.max(0, Math.ceil((this.retryAt - performance.now()) / 1000));
  }
}

/** From an answer that is not a 200. */
function failureFrom(response, text, size) {
  const body = parse(text);
  const reason = body?.message ?? (text.trim().slice(0, 300) || `${response.status} ${response.statusText}`);
  const retryAfter = readRetryAfter(response.headers.get("Retry-After"));
  const make = (title, advice, more = {}) => new Failure(response.status, title, reason, { advice, retryAfter, ...more });
  switch (response.status) {
    case 401:
    case 403:
      return make("The server asks for a key", "Give it above; the picture is then sent again.");
    case 408:
      return make("The picture did not arrive in time", "The connection is slow, or it was interrupted.");
    case 413:
      return make("The picture is too large", `It has ${bytes(size)}, a third more as base64. Send a smaller one.`, { retryable: false });
    case 422:
      return new Failure(422, "The picture could not be read", body?.errors?.[0]?.reason ?? reason, { retryable: false });
    case 429:
      return make("The server is busy", "Others keep it busy; nothing is wrong with the picture.");
    case 503:
      return make("The detector is not ready", "It may be starting, or being restarted.");
    case 504:
      return make("No answer in time", "The server is alive but slow: try again when it is less busy.");
    default:
      return make(response.status >= 500 ? "The server failed" : "The server refused the request", "");
  }
}

/** From a request that got no answer at all. */
function noAnswer(size, limit) {
  const large = limit && size * 4 / 3 > limit;
  const advice = large
    ? `The picture has ${bytes(size)}: more than the server takes. Send a smaller one.`
    : "Is the network there, and the gateway running?";
  return new Failure(0, "The server cannot be reached", "The connection failed or ended before an answer came.", { advice });
}

/** From a file that the browser cannot read. */
function unreadable(name) {
  return new Failure(0, "The file could not be opened", `The browser could not read ${name}: is it a folder, or has it moved?`, { retryable: false });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function readRetryAfter(value) {
  if (!value) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 3600) : 0;
}

/* One picture through POST /score. */

const SCORE = "../score";
/** Asks for the times of the models' own steps, in Server-Timing. */
const ABOUT = { "X-VFNet-About": "steps" };
/** Where callers find the endpoint. */
export const SCORE_URL = new URL(SCORE, document.baseURI).href;

/** The request's body; spaced as Python's json.dumps does, so that the recipes send the very same bytes. */
export function requestBody(item) {
  return `{"input_data": {"columns": ["image"], "index": [0], "data": [${JSON.stringify(item)}]}}`;
}

/** What stands for the picture in the request: its address, or its bytes as base64. */
export async function itemOf(picture) {
  return picture.url ?? base64(picture.blob, picture.name);
}

/** The base64 text of a blob, by the browser's own code. */
export function base64(blob, name) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(unreadable(name));
    reader.readAsDataURL(blob);
  });
}

/**
 * Send a request body.
 *
 * @returns the response's text as it came, its boxes, and the milliseconds that the Server-Timing header names.
 * @throws {Failure}
 */
async function score(body, { size, limit, signal }) {
  let response, text;
  try {
    const headers = { "Content-Type": "application/json", ...ABOUT, ...authorization(), ...Object.fromEntries(modelHeaders({ model })) };
    response = await fetch(SCORE, { method: "POST", headers, body, signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : noAnswer(size, limit);
  }
  if (!response.ok) throw failureFrom(response, text, size);
  const boxes = JSON.parse(text)[0].boxes;
  return { text, boxes, serverTiming: parseServerTiming(response.headers.get("Server-Timing")) };
}

/** The picture at an address, through the gateway; null where it does not offer that. */
async function pictureAt(url, signal) {
  const headers = { "Content-Type": "application/json", ...authorization() };
  try {
    const response = await fetch("picture", { method: "POST", headers, body: JSON.stringify({ url }), signal });
    return response.ok ? await response.blob() : null;
  } catch {
    return null;
  }
}

/** `name;dur=1.5;desc="…", …` → [{name, ms}]; entries without a duration are left out. */
function parseServerTiming(header) {
  const found = [];
  for (const entry of (header ?? "").split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim());
    const ms = Number(parameters.find((part) => part.startsWith("dur="))?.slice(4));
    if (name && Number.isFinite(ms)) found.push({ name, ms });
  }
  return found;
}

/* What the gateway tells about itself: what it serves, and its limits. */

const offered = { info: true };

/** `{classes, untrained, limits, …}`; empty where it is not told, `{needsKey: true}` where a key is missing or wrong. */
export async function info() {
  return (await ask("info")) ?? {};
}

async function ask(name) {
  if (!offered[name]) return null;
  try {
    const address = model === null ? name : `${name}?model=${encodeURIComponent(model)}`;
    const response = await fetch(address, { headers: authorization(), cache: "no-store" });
    if (response.status === 404) offered[name] = false;
    if (response.status === 401) return name === "info" ? { needsKey: true } : null;
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/* Sends waiting pictures, one at a time: then the times measured are those of one picture. */

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
    picture.model = model;
    const started = performance.now();
    const body = requestBody(await itemOf(picture));
    const encodeMs = performance.now() - started;
    const sent = performance.now();
    const options = { size: picture.blob?.size ?? 0, limit: this.limits().max_body_bytes, signal };
    const { text, boxes, serverTiming } = await score(body, options);
    const answerMs = performance.now() - sent;
    if (picture.url && !picture.blob) picture.blob = await pictureAt(picture.url, signal);
    picture.boxes = boxes;
    picture.responseText = text;
    picture.timing = { encodeMs, answerMs, serverTiming, drawMs: null };
  }

  #becomes(picture, state) {
    picture.state = state;
    this.gallery.changed(picture);
  }
}
