"""What `vfnet deploy --compare-on` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from score_requests import strip_png
from vfnet_client.exceptions import CommandError
from vfnet_deploy.comparison_images import ComparisonImages, find_images

BOX = {"label": "carton", "topX": 0.1, "topY": 0.1, "bottomX": 0.5, "bottomY": 0.9, "isCrowd": 0}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """As `vfnet gateway --capture` leaves it: four images, of which a person has seen two."""
    folder = tmp_path / "captured"
    (folder / "images").mkdir(parents=True)
    (folder / "capture.json").write_text('{"layout": 1}')
    lines = []
    for number in range(4):
        (folder / "images" / f"{number}.png").write_bytes(strip_png())
        details = {"format": "png", "width": "1333px", "height": "32px"}
        lines.append(json.dumps({"image_url": f"images/{number}.png", "image_details": details, "label": [BOX]}) + "\n")
    (folder / "captured.jsonl").write_text("".join(lines))
    (folder / "reviewed.jsonl").write_text("".join(lines[:2]))
    return folder


@pytest.mark.parametrize("word", ["", "captured.jsonl"])
def test_what_was_captured_is_compared_on_and_ap_is_of_what_a_person_has_seen(store: Path, word: str) -> None:
    found = find_images([str(store / word)])
    assert [path.name for path in found.paths] == ["0.png", "1.png", "2.png", "3.png"]
    assert found.dataset is not None
    assert len(found.dataset.images) == 2


def test_answers_of_a_model_are_no_annotations(store: Path) -> None:
    (store / "reviewed.jsonl").write_text("")
    assert find_images([str(store)]).dataset is None


def test_annotations_bring_their_images(store: Path) -> None:
    (store / "capture.json").unlink()
    for found in (find_images([str(store / "reviewed.jsonl")]), find_images([], store / "reviewed.jsonl")):
        assert [path.name for path in found.paths] == ["0.png", "1.png"]
        assert found.dataset is not None
    found = find_images([str(store / "images")], store / "reviewed.jsonl")
    assert len(found.paths) == 4


def test_what_cannot_be_compared_on_is_named(store: Path) -> None:
    with pytest.raises(CommandError, match="no URLs"):
        find_images(["https://127.0.0.1/a.png"])
    with pytest.raises(CommandError, match="say which with --annotations"):
        find_images([str(store), str(store / "reviewed.jsonl")])


def test_so_many_lie_evenly_among_all() -> None:
    images = ComparisonImages(tuple(Path(f"{number}") for number in range(10)))
    assert [path.name for path in images.at_most(3).paths] == ["0", "3", "6"]
    assert images.at_most(10) == images.at_most(100) == images
