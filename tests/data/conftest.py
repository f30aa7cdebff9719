"""Small data sets in every format, to be spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vfnet_data import DatasetError, read_dataset

WriteImage = Callable[..., Path]
Problems = Callable[..., str]


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Write `name` with random-looking pixels below the test's folder."""

    def write(name: str, size: tuple[int, int] = (40, 30), **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert("RGB").save(path, **options)
        return path

    return write


@pytest.fixture
def jsonl(tmp_path: Path, write_image: WriteImage) -> Callable[..., Path]:
    """Write lines, texts or objects, as `train.jsonl`, with the image `a.jpg`, 40 x 30, beside it."""
    write_image("a.jpg")

    def write(*lines: Any) -> Path:
        path = tmp_path / "train.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("\n".join(texts) + "\n")
        return path

    return write


@pytest.fixture
def problems() -> Problems:
    """The text of the DatasetError that reading raises."""

    def read(source: Path, *arguments: Any, **options: Any) -> str:
        with pytest.raises(DatasetError) as raised:
            read_dataset(source, *arguments, **options)
        return str(raised.value)

    return read
