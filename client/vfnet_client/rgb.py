"""Any PIL image as 8-bit RGB."""

from __future__ import annotations

from PIL import Image


def as_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture of any mode: alpha dropped without compositing, deep samples scaled to 8 bits."""
    image.load()
    if image.mode[0] in "IF":  # convert() would clip these at 255
        import numpy as np

        samples = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if image.mode.startswith("I;16") else max(float(samples.max()), 1e-9)
        image = Image.fromarray((samples / top * 255).clip(0, 255).astype(np.uint8))
    if image.mode == "La":  # premultiplied grey, which goes nowhere but to LA
        image = image.convert("LA")
    canvas = Image.new("RGB", image.size)
    canvas.paste(image.convert("RGB"))
    return canvas
