/* Numbers as people read them. */

/** 1 box, 2 boxes. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en-GB")} ${number === 1 ? one : many}`;
}

/** Milliseconds, as many digits as mean something. */
export function milliseconds(value) {
  return value < 9.95 ? value.toFixed(1) : Math.round(value).toLocaleString("en-GB");
}

/** A duration in a sentence. */
export function duration(ms) {
  return ms < 995 ? `${milliseconds(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** A size in bytes, in the units that limits are named in. */
export function bytes(value) {
  if (value < 1000) return count(value, "byte");
  const [unit, size] = value < 1e6 ? ["kB", 1e3] : ["MB", 1e6];
  return `${(value / size).toFixed(value / size < 9.95 ? 1 : 0)} ${unit}`;
}
