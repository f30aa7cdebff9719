"""Boxes, labels and scores on a picture."""

from __future__ import annotations

import io
import math
import zlib

from PIL import Image, ImageDraw, ImageFont

from vfnet_client.detections import DetectedBox, Detections
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import as_rgb
from vfnet_client.safe_text import printable_line
from vfnet_images.decoding import ImageError, decode_image
from vfnet_images.kinds import HEAD_BYTES, kind_of

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

# Trubetskoy's list of 20 simple, distinct colours, less white, black and the two nobody tells from white.
PALETTE: tuple[Colour, ...] = (
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
    (0, 128, 128),
    (220, 190, 255),
    (170, 110, 40),
    (128, 0, 0),
    (170, 255, 195),
    (128, 128, 0),
    (255, 215, 180),
    (0, 0, 128),
)
_SPREAD = 133  # found by trying: the demonstration's four classes and COCO's twelve commonest all differ
_LEAST_LONG_SIDE, _LEAST_SHORT_SIDE, _MOST_LONG_SIDE = 480, 160, 4096
_LEAST_FONT_SIZE = 13
_LONGEST_LABEL = 60
_MOST_PIXELS = 400_000_000
"""Of a picture to be drawn on: a server may be told to read larger ones than it does by default."""


def colour_of(label: str) -> Colour:
    """The colour of a class: the same in every picture and every run."""
    return PALETTE[zlib.crc32(label.encode(errors="surrogatepass"), _SPREAD) % len(PALETTE)]


def draw_detections(image: Image.Image, detections: Detections) -> Image.Image:
    """The picture with its detections on it, as a new RGB image without metadata.

    Boxes are in the frame of the stored pixels, so an EXIF orientation is left alone. A picture too small for
    readable text comes back enlarged by a whole number.
    """
    canvas = _enlarged(as_rgb(image))
    draw = ImageDraw.Draw(canvas)
    font_size = max(_LEAST_FONT_SIZE, round(0.018 * math.sqrt(canvas.width * canvas.height)))
    line_width = max(2, font_size // 7)
    rising = sorted(detections.boxes, key=lambda box: box.score)
    rectangles = [_rectangle(box, *canvas.size) for box in rising]
    for box, rectangle in zip(rising, rectangles, strict=True):
        draw.rectangle(rectangle, outline=colour_of(box.label), width=line_width)
    # After all the boxes: no line crosses a text.
    for box, rectangle in zip(rising, rectangles, strict=True):
        _draw_label(
            draw,
            f"{printable_line(box.label, _LONGEST_LABEL)} {box.score:.2f}",
            rectangle,
            colour_of(box.label),
            font_size,
            canvas.size,
        )
    return canvas


def annotate(encoded: bytes, detections: Detections) -> tuple[bytes, str]:
    """An encoded image with its detections drawn on it, and the suffix of what it now is.

    A JPEG (`.jpg`) stays one; anything else becomes a PNG (`.png`).

    It is decoded as the server decodes it.

    Raises:
        InvalidImageError: it cannot be read.
    """
    out = io.BytesIO()
    pillows_limit = Image.MAX_IMAGE_PIXELS
    try:
        pixels = decode_image(encoded, _MOST_PIXELS)
    except ImageError as error:
        raise InvalidImageError(f"cannot draw on it: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = pillows_limit  # the decoder sets it, and this is somebody else's process
    drawn, profile = draw_detections(Image.fromarray(pixels), detections), _colour_profile(encoded)
    kind = kind_of(encoded[:HEAD_BYTES])
    is_jpeg = kind is not None and kind.name == "JPEG"
    if is_jpeg:
        drawn.save(out, "JPEG", quality=92, icc_profile=profile)
    else:
        drawn.save(out, "PNG", icc_profile=profile)
    return out.getvalue(), ".jpg" if is_jpeg else ".png"


def _colour_profile(encoded: bytes) -> bytes | None:
    """Of a picture whose colours stay as they are; None also where it is too long to be read."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.info.get("icc_profile") if image.mode == "RGB" else None
    except Exception:  # the pixels are there, and viewers do without
        return None


def _enlarged(image: Image.Image) -> Image.Image:
    short, long = sorted(image.size)
    wanted = math.ceil(max(_LEAST_LONG_SIDE / long, _LEAST_SHORT_SIDE / short))
    factor = max(1, min(wanted, _MOST_LONG_SIDE // long))
    if factor == 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _rectangle(box: DetectedBox, width: int, height: int) -> Rectangle:
    """The pixels the box's outermost lines lie on, all of them inside the picture."""
    x1, y1, x2, y2 = box.in_pixels(width, height)
    left, top = min(max(round(x1), 0), width - 1), min(max(round(y1), 0), height - 1)
    return left, top, max(min(round(x2) - 1, width - 1), left), max(min(round(y2) - 1, height - 1), top)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    text: str,
    rectangle: Rectangle,
    colour: Colour,
    font_size: int,
    size: tuple[int, int],
) -> None:
    """Text on a plate of the box's colour: above the box, or inside it where the picture ends."""
    width, height = size
    padding = max(2, font_size // 6)
    font = ImageFont.load_default(font_size)
    room = max(width - 2 * padding, 1)
    if font.getlength(text) > room:
        font = ImageFont.load_default(max(8, int(font_size * room / font.getlength(text))))
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    plate_width, plate_height = right - left + 2 * padding, bottom - top + 2 * padding
    above = rectangle[1] - plate_height
    x = max(0, min(rectangle[0], width - plate_width))
    y = above if above >= 0 else max(0, min(rectangle[1], height - plate_height))
    draw.rectangle((x, y, x + plate_width - 1, y + plate_height - 1), fill=colour)
    draw.text((x + padding - left, y + padding - top), text, font=font, fill=_readable_on(colour))


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more (ITU-R BT.601 luma)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
