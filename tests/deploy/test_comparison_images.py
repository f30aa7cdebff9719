"""What `vfnet deploy --compare-on` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from captured_images import offer, picture, store_with
from vfnet_capture.captured_image import ACCEPTED, Review
from vfnet_capture.tables import write_tables
from vfnet_client.exceptions import CommandError
from vfnet_deploy.comparison_images import ComparisonImages, find_images


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """As `vfnet gateway --capture` leaves it: four images, of which a person has accepted two."""
    kept = store_with(tmp_path / "captured", [offer(image=picture(shade)) for shade in range(4)])
    for image, _ in zip(list(kept.images()), range(2), strict=False):
        kept.save(image.reviewed(image.labels[:1], Review(ACCEPTED, "2026-11-29T12:00:00Z", "me")))
    write_tables(kept)
    return tmp_path / "captured"


@pytest.mark.parametrize("word", ["", "captured.jsonl"])
def test_what_was_captured_is_compared_on_and_ap_is_of_what_a_person_has_seen(store: Path, word: str) -> None:
    found = find_images([str(store / word)])
    assert sorted(found.paths) == sorted((store / "images").iterdir())
    assert len(found.paths) == 4
    assert found.dataset is not None
    assert len(found.dataset.images) == 2


def test_answers_of_a_model_are_no_annotations(store: Path) -> None:
    (store / "reviewed.jsonl").write_text("")
    assert find_images([str(store)]).dataset is None


def test_annotations_bring_their_images(store: Path) -> None:
    for found in (find_images([str(store / "reviewed.jsonl")]), find_images([], store / "reviewed.jsonl")):
        assert len(found.paths) == 2
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
