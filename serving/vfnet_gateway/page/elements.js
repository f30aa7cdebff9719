/* What every other script uses: elements of the document, colours of labels, words for numbers. */

/* Making and finding elements. Text only ever becomes text: nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** An HTML element. `properties` become attributes; those that are null or false are left out. */
export function element(tag, properties = {}, ...children) {
  return furnish(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function svgElement(tag, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), properties, children);
}

function furnish(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * One tab stop for a row or column of elements: arrow keys, Home and End move the focus between those that show.
 *
 * @param {HTMLElement} container whose key presses count
 * @param {() => HTMLElement[]} members what to move between
 * @param {(member: HTMLElement) => void} arrived called with the one that has got the focus
 */
export function roam(container, members, arrived = () => {}) {
  container.addEventListener("keydown", (event) => {
    const list = members();
    const at = list.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 };
    if (at < 0 || !(event.key in to) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = list[Math.min(Math.max(to[event.key], 0), list.length - 1)];
    makeTabStop(list, next);
    next.focus();
    arrived(next);
  });
}

/** Of a list of elements, the one that the Tab key reaches. */
export function makeTabStop(list, chosen) {
  for (const member of list) member.tabIndex = member === chosen ? 0 : -1;
}

/* The colour of a class: the same as `vfnet detect --draw` gives it, in every picture. */

// Trubetskoy's list of 20 simple, distinct colours, less white, black and the two nobody tells from white.
const PALETTE = [
  [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48], [145, 30, 180],
  [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212], [0, 128, 128], [220, 190, 255],
  [170, 110, 40], [128, 0, 0], [170, 255, 195], [128, 128, 0], [255, 215, 180], [0, 0, 128],
];
const SPREAD = 133; // drawing.py's

/** CRC-32 (IEEE 802.3) of UTF-8 text, continued from an earlier value. */
function crc32(text, start = 0) {
  let crc = ~start;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** [red, green, blue], 0 to 255. */
export function colourOf(label) {
  return PALETTE[crc32(label, SPREAD) % PALETTE.length];
}

/** As CSS writes it. */
export function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

/** Black or white, whichever has the higher WCAG contrast on a colour: never under 4.5. */
export function readableOn(colour) {
  const luminance = relativeLuminance(colour);
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000" : "#fff";
}

function relativeLuminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

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
