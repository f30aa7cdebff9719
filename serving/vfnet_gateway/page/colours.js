/* The colour of a class: the same as `vfnet detect --draw` gives it, in every picture. */

// Trubetskoy's list of 20 simple, distinct colours, less white, black and the two nobody tells from white.
const PALETTE = [
  [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48], [145, 30, 180],
  [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212], [0, 128, 128], [220, 190, 255],
  [170, 110, 40], [128, 0, 0], [170, 255, 195], [128, 128, 0], [255, 215, 180], [0, 0, 128],
];
const SPREAD = 133; // drawing.py's

/** CRC-32 (IEEE 802.3) of UTF-8 text, continued from an earlier value. */
export function crc32(text, start = 0) {
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
