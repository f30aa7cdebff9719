"""Canvases: the sizes that images are padded to, where an engine wants few of them."""

from __future__ import annotations

Canvas = tuple[int, int]
"""Height and width in pixels."""
OWN = "x32"
"""The parameter's value where each image has its own canvas, the smallest one."""


def read_canvases(text: str) -> list[Canvas]:
    """`800x1088,1088x800` -> heights and widths, in that order.

    Raises:
        ValueError: it does not read so.
    """
    return [(int(height), int(width)) for height, width in (each.split("x") for each in text.split(","))]


def parse_canvases(text: str) -> tuple[Canvas, ...]:
    """`800x1088,1088x800` -> heights and widths, the smallest area first; `x32` -> none.

    Raises:
        ValueError: it is neither.
    """
    if text == OWN:
        return ()
    try:
        canvases = read_canvases(text)
    except ValueError:
        raise ValueError(f"canvases must be {OWN!r} or HEIGHTxWIDTH,..., not {text!r}") from None
    return tuple(sorted(canvases, key=lambda canvas: (canvas[0] * canvas[1], canvas)))


def canvas_for(height: int, width: int, canvases: tuple[Canvas, ...], divisor: int = 32) -> Canvas:
    """The smallest of `canvases` that holds an image; its own, multiples of `divisor`, where none does."""
    for canvas in canvases:
        if height <= canvas[0] and width <= canvas[1]:
            return canvas
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor
