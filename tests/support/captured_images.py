"""Offers to a capture store, and stores that hold some."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vfnet_capture.keeper import Keeper
from vfnet_capture.messages import Offer
from vfnet_capture.settings import CaptureSettings
from vfnet_capture.store import CaptureStore, open_store

Box = tuple[str, float, tuple[float, float, float, float]]
SURE: Sequence[Box] = (("can", 0.9, (0.1, 0.1, 0.4, 0.5)), ("carton", 0.8, (0.5, 0.5, 0.9, 0.9)))
DOUBTFUL: Sequence[Box] = (*SURE, ("carton", 0.35, (0.6, 0.1, 0.9, 0.3)), ("can", 0.05, (0.0, 0.0, 0.1, 0.1)))


def picture(shade: int = 0, size: tuple[int, int] = (40, 30), format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256 % 256, 7)).save(out, format)
    return out.getvalue()


def detections(boxes: Sequence[Box] = SURE) -> bytes:
    """A `DETECTIONS` document."""
    corners = ("topX", "topY", "bottomX", "bottomY")
    found = [
        {"box": dict(zip(corners, box, strict=True)), "label": label, "score": score} for label, score, box in boxes
    ]
    return json.dumps({"boxes": found}).encode()


def offer(
    request: str = "request", image: bytes | None = None, boxes: Sequence[Box] = SURE, at: float | None = None
) -> Offer:
    image = picture(random.getrandbits(16)) if image is None else image
    return Offer(image, detections(boxes), request, "vfnet", None, ("share",), time.time() if at is None else at)


class Keeping:
    """A keeper in this process, what it told, and its store."""

    def __init__(self, folder: Path | str, **bounds: Any) -> None:
        self.told: list[list[Any]] = []
        self.keeper = Keeper(CaptureSettings(store=str(folder), **bounds), self._hear)  # type: ignore[arg-type]
        self.place = str(folder)

    def _hear(self, *message: Any) -> None:
        self.told.append(list(message))

    def keep(self, *offers: Offer) -> None:
        self.keeper.keep(list(offers))

    def counted(self, kind: str, reason: str) -> int:
        return sum(message[2] for message in self.told if message[:2] == [kind, reason])

    @property
    def store(self) -> CaptureStore:
        return open_store(self.place)


def store_with(folder: Path, offers: Sequence[Offer]) -> CaptureStore:
    """A store that holds these, with its tables."""
    keeping = Keeping(folder)
    keeping.keep(*offers)
    keeping.keeper.close()
    return keeping.store
