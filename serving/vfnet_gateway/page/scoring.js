/* One picture through POST /score. */

import { authorization } from "./access_key.js";
import { failureFrom, noAnswer, unreadable } from "./failures.js";

const SCORE = "../score";
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
export async function score(body, { size, limit, signal }) {
  let response, text;
  try {
    const headers = { "Content-Type": "application/json", ...authorization() };
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
export async function pictureAt(url, signal) {
  const headers = { "Content-Type": "application/json", ...authorization() };
  try {
    const response = await fetch("picture", { method: "POST", headers, body: JSON.stringify({ url }), signal });
    return response.ok ? await response.blob() : null;
  } catch {
    return null;
  }
}

/** `name;dur=1.5;desc="…", …` → [{name, ms}]; entries without a duration are left out. */
export function parseServerTiming(header) {
  const found = [];
  for (const entry of (header ?? "").split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim());
    const ms = Number(parameters.find((part) => part.startsWith("dur="))?.slice(4));
    if (name && Number.isFinite(ms)) found.push({ name, ms });
  }
  return found;
}
