/* Pictures as their pixels are stored: EXIF orientation is ignored, as the server ignores it. */

import { element } from "./elements.js";

/**
 * An <img> of a picture, still and unturned.
 *
 * Only an <img> laid out with `image-orientation: none` leaves a picture as it is stored: createImageBitmap and
 * drawImage turn it whatever they are told, and so does naturalWidth.
 *
 * @returns {Promise<{image: HTMLImageElement, width: number, height: number} | null>} with the stored size; null where
 *   the browser cannot read the picture.
 */
export async function storedPicture(blob) {
  const url = URL.createObjectURL((await isAnimatable(blob)) ? await firstFrame(blob) : blob);
  const image = element("img", { class: "as-stored measured", alt: "", src: url });
  document.body.append(image); // to be laid out
  try {
    await image.decode();
    const { offsetWidth: width, offsetHeight: height } = image;
    image.classList.remove("measured");
    return { image, width, height };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
    image.remove();
  }
}

/** Whether it is a GIF or a WebP: they may move, and the server looks at the first frame. */
async function isAnimatable(blob) {
  const head = new TextDecoder("latin1").decode(await blob.slice(0, 12).arrayBuffer());
  return head.startsWith("GIF8") || head.endsWith("WEBP");
}

async function firstFrame(blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    return (await new Promise((resolve) => canvas.toBlob(resolve))) ?? blob;
  } catch {
    return blob;
  }
}
