"""A detector in place of a server's: it sees red squares that are large enough in what it is shown."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vfnet_client import InvalidImageError, ServerUnavailableError
from vfnet_images.decoding import ImageError, decode_image

RED = (255, 0, 0)


class SeesRed:
    """A transport: one box around the red pixels, if that is a tenth as wide as the image."""

    def __init__(
        self, parameters: dict[str, str] | None = None, *, fails_at: int | None = None, fails_for_good: bool = False
    ) -> None:
        self.parameters, self.fails_at, self.fails_for_good = parameters, fails_at, fails_for_good
        self.images: list[bytes] = []
        self.inside = self.most_inside = self.answered = self.asked_for_terms = 0
        self.outputs: set[tuple[str, ...]] = set()

    async def infer(self, image: bytes, *, outputs: Sequence[str] = (), **_others: Any) -> dict[str, Any]:
        self.images.append(image)
        self.outputs.add(tuple(outputs))
        number = len(self.images)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(0.001 if number == self.fails_at else 0.02)
            if self.fails_at in (number, 0):
                raise ServerUnavailableError("gone")
            self.answered += 1
            return self.answer(image)
        finally:
            self.inside -= 1

    def answer(self, image: bytes) -> dict[str, Any]:
        try:
            pixels = decode_image(image)
        except ImageError as error:
            raise InvalidImageError(str(error)) from error
        ys, xs = np.nonzero((pixels[:, :, 0] > 200) & (pixels[:, :, 1] < 50))
        height, width = pixels.shape[:2]
        boxes = []
        if len(xs) and xs.max() + 1 - xs.min() >= width / 10:
            corners = {
                "topX": xs.min() / width, "topY": ys.min() / height,
                "bottomX": (xs.max() + 1) / width, "bottomY": (ys.max() + 1) / height,
            }  # fmt: skip
            boxes.append({"box": corners, "label": "red", "score": 0.5 + len(xs) / pixels.size})
        return {"DETECTIONS": [json.dumps({"boxes": boxes}).encode()], "LABELS": np.zeros(len(boxes), np.int32)}

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:  # noqa: ARG002
        self.asked_for_terms += 1
        if self.parameters is None:
            raise ServerUnavailableError("it does not tell")
        return self.parameters

    async def close(self) -> None:
        pass


def picture(square: tuple[int, int, int], size: tuple[int, int] = (800, 600)) -> Image.Image:
    """Green, with a red square at x, y of so many pixels."""
    x, y, side = square
    image = Image.new("RGB", size, (0, 120, 0))
    image.paste(RED, (x, y, x + side, y + side))
    return image


def encoded(image: Image.Image, name: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **how)
    return out.getvalue()
