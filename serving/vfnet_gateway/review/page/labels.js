/* Boxes as the store has them: changed, compared and merged. Nothing here touches the document. */

/**
 * One object: {label, topX, topY, bottomX, bottomY, isCrowd, score?}, corners as fractions of the image.
 * @typedef {object} Label
 */

const CORNERS = ["topX", "topY", "bottomX", "bottomY"];

/** A box that a person made of another: without the model's score. */
export function changed(label, changes) {
  const { score, ...rest } = label;
  return { ...rest, ...changes };
}

/** A box within the image, its corners in order, or null where nothing is left of it. */
export function tidied(box, least) {
  const [x1, x2] = [box.topX, box.bottomX].sort((a, b) => a - b).map(within);
  const [y1, y2] = [box.topY, box.bottomY].sort((a, b) => a - b).map(within);
  if (x2 - x1 < least.x || y2 - y1 < least.y) return null;
  return { ...box, topX: x1, topY: y1, bottomX: x2, bottomY: y2 };
}

/** A box moved by fractions of the image, as far as that stays within it. */
export function moved(label, dx, dy) {
  const x = Math.min(Math.max(dx, -label.topX), 1 - label.bottomX);
  const y = Math.min(Math.max(dy, -label.topY), 1 - label.bottomY);
  return changed(label, { topX: label.topX + x, bottomX: label.bottomX + x, topY: label.topY + y, bottomY: label.bottomY + y });
}

function within(value) {
  return Math.min(Math.max(value, 0), 1);
}

/** Whether two lists hold the same boxes. */
export function same(one, other) {
  return one.length === other.length && one.every((label, index) => keyOf(label) === keyOf(other[index]));
}

/**
 * What two people made of the same boxes, together: nothing that either drew, changed or removed is lost.
 *
 * Theirs, without what I removed, and with what I added. A box that both changed is there twice: one of them decides.
 *
 * @param {Label[]} base what both began with
 * @param {Label[]} mine
 * @param {Label[]} theirs
 */
export function merged(base, mine, theirs) {
  const removed = tally(base);
  for (const label of mine) take(removed, label);
  const added = tally(mine);
  for (const label of base) take(added, label);
  const kept = theirs.filter((label) => !take(removed, label));
  for (const label of theirs) take(added, label); // both added the same
  return [...kept, ...mine.filter((label) => take(added, label))];
}

function keyOf(label) {
  return JSON.stringify([label.label, label.isCrowd ?? 0, ...CORNERS.map((corner) => label[corner].toFixed(6))]);
}

function tally(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(keyOf(label), (counts.get(keyOf(label)) ?? 0) + 1);
  return counts;
}

function take(counts, label) {
  const left = counts.get(keyOf(label)) ?? 0;
  if (left > 0) counts.set(keyOf(label), left - 1);
  return left > 0;
}
