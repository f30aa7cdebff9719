/* What the gateway tells about itself: what it serves, its limits, and Triton's running totals by model. */

import { authorization } from "./access_key.js";

const TRIES = 5;
const PAUSE_MS = 40;
const offered = { info: true, stages: true };

/** `{classes, untrained, limits, …}`; empty where it is not told, `{needsKey: true}` where a key is missing or wrong. */
export async function info() {
  return (await ask("info")) ?? {};
}

/** Triton's totals since its start, by model: `{count, queue_ns, compute_ns}`; null where they are not told. */
export function stages() {
  return ask("stages");
}

/** The totals once they have this visit's picture in them: Triton counts a moment after it answers. */
export async function stagesAfter(before) {
  let after = await stages();
  for (let tries = 0; tries < TRIES && before && after && !hasGrown(before, after); tries++) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    after = await stages();
  }
  return after;
}

function hasGrown(before, after) {
  return Object.entries(after).every(([model, { count }]) => count > (before[model]?.count ?? 0));
}

/** What happened between two answers of `stages`: [{model, count, queueMs, computeMs}], times per image. */
export function between(before, after) {
  if (!before || !after) return [];
  return Object.entries(after).flatMap(([model, now]) => {
    const then = before[model] ?? { count: 0, queue_ns: 0, compute_ns: 0 };
    const count = now.count - then.count;
    if (count < 1) return []; // served from elsewhere, or Triton has started anew
    const each = (name) => (now[name] - then[name]) / 1e6 / count;
    return [{ model, count, queueMs: each("queue_ns"), computeMs: each("compute_ns") }];
  });
}

async function ask(name) {
  if (!offered[name]) return null;
  try {
    const response = await fetch(name, { headers: authorization(), cache: "no-store" });
    if (response.status === 404) offered[name] = false;
    if (response.status === 401) return name === "info" ? { needsKey: true } : null;
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
