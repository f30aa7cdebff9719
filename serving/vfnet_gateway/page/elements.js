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
