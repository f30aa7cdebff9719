"""Photos made here: of known brightness, with boxes beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from grey_pictures import picture

MakeData = Callable[..., Path]


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
