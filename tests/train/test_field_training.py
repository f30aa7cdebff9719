"""Data as people have them: what a training makes of them before its first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_training import write_scenes
from vfnet_client.cli import main
from vfnet_data.dataset import DatasetError
from vfnet_train.preparation import prepare
from vfnet_train.settings import FinetuneSettings


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[Callable[[Any], object]], Path]:
    """Four scenes, after a change was made to their COCO JSON."""

    def write(change: Callable[[Any], object]) -> Path:
        source = write_scenes(tmp_path / "scenes", 4)
        document = json.loads(source.read_text())
        change(document)
        source.write_text(json.dumps(document))
        return source

    return write


def settings(source: Path, checkpoint: Path, **more: Any) -> FinetuneSettings:
    return FinetuneSettings(data=(source,), init=str(checkpoint), output=source.parent / "run", **more)


def test_what_is_no_target_is_told_before_the_first_step(spoilt: Callable[..., Path], tiny_checkpoint: Path) -> None:
    def spoil(document: Any) -> None:
        document["annotations"][0]["ignore"] = 1
        document["annotations"][1]["area"] = 0
        document["categories"].insert(0, {"id": 0, "name": "toys"})

    preparation = prepare(settings(spoilt(spoil), tiny_checkpoint))
    notes = "\n".join(preparation.notes)
    assert "1 box is marked ignore, and no training targets, as in MMDetection" in notes
    assert "1 box is of area 0" in notes
    assert "no box is of toys, which cannot be learned" in notes


def test_fractions_are_trained_on_as_pixels(spoilt: Callable[..., Path], tiny_checkpoint: Path) -> None:
    def divide(document: Any) -> None:
        for each in document["annotations"]:
            x, y, width, height = each["bbox"]
            each.update(bbox=[x / 96, y / 80, width / 96, height / 80], area=each["area"] / (96 * 80))

    plain = prepare(settings(spoilt(lambda _: None), tiny_checkpoint))
    (plain.training[0].path.parent / "annotations.json").unlink()
    for image in plain.training:
        image.path.unlink()
    plain.training[0].path.parent.rmdir()
    fractions = prepare(settings(spoilt(divide), tiny_checkpoint))
    for image, other in zip(plain.training, fractions.training, strict=True):
        assert image.boxes == pytest.approx(other.boxes, rel=1e-5)
    assert "boxes are fractions of their image" in fractions.notes[0]


def test_problems_are_skipped_where_that_is_said(spoilt: Callable[..., Path], tiny_checkpoint: Path) -> None:
    source = spoilt(lambda document: document["annotations"][0]["bbox"].__setitem__(3, 0))
    with pytest.raises(DatasetError, match="--skip-invalid goes on without them"):
        prepare(settings(source, tiny_checkpoint))
    preparation = prepare(settings(source, tiny_checkpoint, skip_invalid=True))
    assert len(preparation.training) == 4
    assert "1 problem, left out as --skip-invalid says" in preparation.notes[0]


@pytest.mark.parametrize("keep", [[], ["--keep-empty-images"]])
def test_data_without_any_class_are_refused_with_a_sentence(
    spoilt: Callable[..., Path], tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], keep: list[str]
) -> None:
    source = spoilt(lambda document: document.update(annotations=[], categories=[]))
    command = ["finetune", "--data", str(source), "--init", str(tiny_checkpoint), "--output", str(source.parent / "r")]
    assert main([*command, *keep]) == 1
    said = capsys.readouterr().err
    assert "no box names a class, so there is nothing to learn" in said
    assert "Traceback" not in said


def test_data_with_classes_and_no_boxes_are_refused_with_the_reason(
    spoilt: Callable[..., Path], tiny_checkpoint: Path
) -> None:
    def ignore(document: Any) -> None:
        for each in document["annotations"]:
            each["ignore"] = 1

    with pytest.raises(DatasetError, match="not one box is a training target") as raised:
        prepare(settings(spoilt(ignore), tiny_checkpoint))
    assert "are marked ignore" in str(raised.value)
