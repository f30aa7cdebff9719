"""`vfnet bench decoding`, briefly; and what is refused before the work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_bench.decoding.pictures import FORMATS, mosaic, own_pictures
from vfnet_client.cli import main
from vfnet_images.decoding import decode_image
from vfnet_images.kinds import claimed_kind
from vfnet_load.coco_sizes import ImageSize

SIZE = ImageSize(90, 70)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two JPEGs, a PNG, and what is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("a.jpg", "b.jpg", "c.png"):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    (folder / "damaged.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    return folder


def test_each_kind_and_size_has_its_costs(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "decoding.json"
    options = ["--sizes", str(SIZE), "--formats", "JPEG", "--rounds=2", "--gpu=300", f"--json={result}"]
    assert main(["bench", "decoding", str(photos), *options]) == 0
    rows = json.loads(result.read_text())["in_process"]
    assert [(row["name"], row["pictures"]) for row in rows] == [
        ("JPEG, yours", 2), ("PNG, yours", 1), ("JPEG, 90 x 70", 1),
    ]  # fmt: skip
    for row in rows:
        found = {each["name"]: each["values"] for each in row["measurements"]}
        assert {len(values) for values in found.values()} == {2}
        assert found["before"] == [
            pillow + resize for pillow, resize in zip(found["Pillow"], found["resize"], strict=True)
        ]
    out = capsys.readouterr().out
    assert "cores at 300/s" in out
    assert "| JPEG, yours (2) |" in out


@pytest.mark.parametrize("name", FORMATS)
def test_a_mosaic_is_as_large_as_it_is_to_be_and_shows_the_photos(name: str, photos: Path) -> None:
    (jpegs, _png) = own_pictures(photos, 3)
    (encoded,) = mosaic(jpegs.encoded, SIZE, name).encoded
    kind = claimed_kind(encoded)
    assert kind is not None
    assert kind.name in name
    pixels, photo = decode_image(encoded), decode_image(jpegs.encoded[0])
    assert pixels.shape == (70, 90, 3)
    assert np.abs(pixels[:40, :50].astype(int) - photo).mean() < 50  # of noise; another photo's: 85


def test_no_more_photos_are_taken_than_are_wanted(photos: Path) -> None:
    assert [len(each.encoded) for each in own_pictures(photos, 1)] == [1]


def test_a_folder_without_readable_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["bench", "decoding", str(tmp_path)]) == 1
    assert "none of the images there can be read" in capsys.readouterr().err
