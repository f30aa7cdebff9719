/* What can go wrong with a picture, in words that say what to do. */

import { bytes } from "./wording.js";

/** Why a picture has no detections. `title` is short, `reason` the server's own words. */
export class Failure extends Error {
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
export function failureFrom(response, text, size) {
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
export function noAnswer(size, limit) {
  const large = limit && size * 4 / 3 > limit;
  const advice = large
    ? `The picture has ${bytes(size)}: more than the server takes. Send a smaller one.`
    : "Is the network there, and the gateway running?";
  return new Failure(0, "The server cannot be reached", "The connection failed or ended before an answer came.", { advice });
}

/** From a file that the browser cannot read. */
export function unreadable(name) {
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
