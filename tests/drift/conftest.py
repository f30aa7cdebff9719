"""Photos made here: of known brightness, with boxes beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeData = Callable[..., Path]


def picture(brightness: int, seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A grey, grainy JPEG."""
    grain = np.random.default_rng(seed).normal(brightness, 12, (size[1], size[0], 3)).clip(0, 255)
    encoded = io.BytesIO()
    Image.fromarray(grain.astype(np.uint8)).save(encoded, "JPEG")
    return encoded.getvalue()


@pytest.fixture
def make_data(tmp_path: Path) -> MakeData:
    """A folder with `count` images and AutoML JSONL; brightness and labels by the image's number."""

    def make(
        name: str,
        count: int = 60,
        brightness: Callable[[int], int] = lambda i: 90 + 13 * i % 60,
        label: Callable[[int], str] = lambda i: ("can", "carton")[i % 2],
        side: float = 0.3,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        lines = []
        for i in range(count):
            (folder / f"{i}.jpg").write_bytes(picture(brightness(i), i))
            box = {"label": label(i), "topX": 0.1, "topY": 0.1, "bottomX": 0.1 + side + i % 7 / 40, "bottomY": 0.6}
            lines.append(json.dumps({"image_url": f"{i}.jpg", "label": [box] * (1 + i % 3)}))
        (folder / "annotations.jsonl").write_text("\n".join(lines))
        return folder

    return make
