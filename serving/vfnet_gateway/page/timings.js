/* Where the time went: a small bar chart with its numbers, as a table. */

import { byId, element } from "./elements.js";
import { milliseconds } from "./wording.js";

const STAGE_NAMES = { read: "body read", parse: "JSON parsed", inference: "inference", write: "answer written" };

/** Fill #timings for a picture that is done. */
export function showTimings(timing) {
  byId("timings").hidden = timing === null;
  if (timing === null) return;
  const rows = rowsOf(timing);
  const longest = Math.max(...rows.map((row) => row.ms ?? 0), 1);
  byId("timing-rows").replaceChildren(...rows.map((row) => tableRow(row, longest)));
  byId("timing-note").textContent = noteOn(timing);
}

/** [{name, ms, queueMs, depth}]: the browser's stages, the gateway's within them, Triton's models within those. */
function rowsOf({ encodeMs, answerMs, serverTiming, models, drawMs }) {
  const gateway = serverTiming.filter(({ name }) => name !== "total");
  const inner = gateway.flatMap(({ name, ms }) => {
    const row = { name: `Gateway: ${STAGE_NAMES[name] ?? name}`, ms, depth: 1 };
    return name === "inference" ? [row, ...modelRows(models)] : [row];
  });
  if (!gateway.some(({ name }) => name === "inference")) inner.push(...modelRows(models));
  return [
    { name: "Browser: base64", ms: encodeMs, depth: 0 },
    { name: "Upload and wait", ms: answerMs, depth: 0 },
    ...inner,
    { name: "Browser: draw", ms: drawMs, depth: 0 },
  ];
}

function modelRows(models) {
  return models.map(({ model, queueMs, computeMs }) => {
    return { name: model.replace(/^vfnet_/, "Triton: "), ms: queueMs + computeMs, queueMs, depth: 2 };
  });
}

function tableRow({ name, ms, queueMs = null, depth }, longest) {
  const compute = element("span", { class: "bar compute" });
  const queue = element("span", { class: "bar queue" });
  compute.style.setProperty("--share", ((ms - queueMs) / longest).toFixed(4));
  queue.style.setProperty("--share", (queueMs / longest).toFixed(4));
  return element(
    "tr",
    { class: `depth-${depth}` },
    element("th", { scope: "row" }, name),
    element("td", { class: "number" }, ms === null ? "–" : milliseconds(ms)),
    element("td", { class: "number" }, queueMs === null ? "" : milliseconds(queueMs)),
    element("td", { class: "bars", "aria-hidden": "true" }, queue, compute),
  );
}

function noteOn({ models }) {
  if (models.length === 0) return "Triton’s own times are not known: its statistics could not be read.";
  const most = Math.max(...models.map(({ count }) => count));
  return most === 1
    ? "Indented stages are part of the one above. Triton counted this picture alone."
    : `Indented stages are part of the one above. Triton served ${most} images meanwhile, others’ among them: its times are averages over all of them.`;
}
