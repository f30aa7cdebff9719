"""What a training takes, refuses and leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiny_training import VFNET, finetune_arguments, write_scenes
from vfnet_client.cli import main
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_train.errors import FinetuneError
from vfnet_train.preparation import prepare
from vfnet_train.settings import AugmentationSettings, FinetuneSettings, OptimizerSettings, choose_test_scale

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def trained(tiny_checkpoint: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to see something."""
    output = tmp_path_factory.mktemp("trained") / "run"
    arguments = finetune_arguments(scenes, tiny_checkpoint, output, "--epochs", "12", "--evaluate-every", "6")
    arguments += ["--learning-rate", "5e-3", "--frozen-stages", "-1", "--save-every", "100", "--precision", "bf16"]
    assert main(arguments) == 0
    return output


def test_the_loss_falls(trained: Path) -> None:
    epochs = json.loads((trained / "metrics.json").read_text())["epochs"]
    assert len(epochs) == 12
    assert epochs[-1]["loss"] < 0.8 * epochs[0]["loss"]


def test_the_report_names_the_checkpoint_and_shows_curves(trained: Path) -> None:
    document = json.loads((trained / "metrics.json").read_text())
    assert [("AP" in record) for record in document["epochs"]] == [number in (6, 12) for number in range(1, 13)]
    assert document["best"]["AP"] == max(record.get("AP", -1) for record in document["epochs"])
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (trained / "report.md").read_text()
    assert "best.pth" in page
    assert "| red |" in page


def test_the_checkpoint_is_one_that_builds(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "best.pth")
    assert checkpoint.config.classes == ("red", "blue")
    assert checkpoint.config.preprocess.img_scale == (96, 80)
    assert {value.dtype for value in checkpoint.state_dict.values()} == {torch.float32, torch.int64}


def test_what_is_frozen_stays_as_it_was(tiny_checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    arguments = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", "--epochs", "1", "--frozen-stages", "2")
    assert main(arguments) == 0
    before, after = (load_checkpoint(path).state_dict for path in (tiny_checkpoint, tmp_path / "run" / "last.pth"))
    changed = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert "backbone.layer3.0.conv1.weight" in changed
    frozen = ("backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2")
    assert not [key for key in changed if key.startswith(frozen) or "running" in key]


def test_other_classes_get_a_new_classifier_and_keep_the_rest(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    document = json.loads(scenes.read_text())
    document["categories"].append({"id": 3, "name": "green"})
    data = tmp_path / "three.json"
    data.write_text(json.dumps(document))
    settings = FinetuneSettings((data,), str(tiny_checkpoint), tmp_path / "run", images=(scenes.parent,))
    preparation = prepare(settings)
    assert preparation.config.classes == ("red", "blue", "green")
    assert any("starts anew" in note for note in preparation.notes)
    before, after = load_checkpoint(tiny_checkpoint).state_dict, preparation.network.state_dict()
    for key, value in before.items():
        if not key.startswith("bbox_head.vfnet_cls."):
            assert torch.equal(after[key], value), key
    weight = after["bbox_head.vfnet_cls.weight"]
    assert weight.shape[0] == 3
    assert weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert after["bbox_head.vfnet_cls.bias"].sigmoid().tolist() == pytest.approx([0.01] * 3)


def test_the_same_classes_in_another_order_keep_the_classifier(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    document = json.loads(scenes.read_text())
    document["categories"].reverse()
    data = tmp_path / "reversed.json"
    data.write_text(json.dumps(document))
    settings = FinetuneSettings((data,), str(tiny_checkpoint), tmp_path / "run", images=(scenes.parent,))
    preparation = prepare(settings)
    assert preparation.config.classes == ("red", "blue")
    assert not preparation.notes
    original = prepare(FinetuneSettings((scenes,), str(tiny_checkpoint), tmp_path / "run"))
    for ours, theirs in zip(preparation.training, original.training, strict=True):
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_all_problems_of_all_data_are_listed_and_nothing_is_written(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, validation = write_scenes(tmp_path / "training"), write_scenes(tmp_path / "validation")
    (training.parent / "2.png").unlink()
    document = json.loads(training.read_text())
    document["annotations"][0]["bbox"] = [5, 5, -10, 10]
    training.write_text(json.dumps(document))
    (validation.parent / "3.png").write_bytes(b"no picture")
    output = tmp_path / "run"
    arguments = finetune_arguments(training, tiny_checkpoint, output, "--validation", str(validation))
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "3 problems" in said
    for part in ("2.png", "3.png", "validation"):
        assert part in said
    assert not output.exists()


def test_it_ends_after_so_many_steps_and_keeps_the_best_by_another_figure(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--max-steps", "5", "--gradient-accumulation", "2", "--batch-size", "2", "--best-metric", "AR100"]
    arguments = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", *more, "--precision", "fp16")
    assert main(arguments) == 0
    said = capsys.readouterr()
    epochs = json.loads((tmp_path / "run" / "metrics.json").read_text())["epochs"]
    assert [record["step"] for record in epochs] == [2, 4, 5]  # two steps of two batches of two images
    best = max(record["AR100"] for record in epochs)
    assert f"best.pth (AR100 {best:.4f})" in said.out
    assert "5 steps, 2 an epoch" in said.err
    assert main(arguments) == 0
    assert "already finished" in capsys.readouterr().err


def test_bad_settings_are_all_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"(?s)known are adamw.*needs two scales.*EMA") as raised:
        FinetuneSettings(
            (tmp_path / "none",),
            "demo",
            tmp_path,
            optimizer=OptimizerSettings("adam"),
            augmentation=AugmentationSettings(multiscale_mode="range"),
            ema_decay=2.0,
        )
    assert "none" not in str(raised.value)


def test_a_training_that_diverges_stops_and_says_what_to_try(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(tiny_checkpoint, weights_only=True)
    checkpoint["state_dict"]["bbox_head.vfnet_reg.bias"] += 200.0  # exp overflows
    torch.save(checkpoint, tmp_path / "far.pth")
    assert main(finetune_arguments(scenes, tmp_path / "far.pth", tmp_path / "run")) == 1
    assert "lower learning rate" in capsys.readouterr().err
    assert not (tmp_path / "run" / "last.pth").exists()


@pytest.mark.parametrize(
    ("scales", "given", "expected"),
    [
        ((), None, (1333, 800)),
        (((512, 384),), None, (512, 384)),
        (((1333, 480), (1333, 960)), None, (1333, 800)),
        (((512, 320), (512, 448)), None, (512, 448)),
        (((512, 320), (512, 448)), (512, 384), (512, 384)),
    ],
)
def test_the_test_scale_follows_the_training_scales(
    scales: tuple[tuple[int, int], ...], given: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    augmentation = AugmentationSettings(scales)
    settings = FinetuneSettings((Path(),), "demo", Path(), test_scale=given, augmentation=augmentation)
    assert choose_test_scale(settings, (1333, 800)) == expected


def test_two_processes_train_as_one_with_the_joined_batch(tiny_checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    """As torchrun starts them, on gloo."""
    one = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "one")
    assert main(one) == 0
    two = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "two", "--batch-size", "2")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(VFNET)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    outcome = subprocess.run(
        [*torchrun, *two], capture_output=True, text=True, timeout=200, env=environment, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    found, expected = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    )
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("loss", "loss_cls", "loss_bbox", "loss_bbox_rf"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), (ours["kind"], ours["step"], name)
        assert ours.get("AP", 0) == pytest.approx(theirs.get("AP", 0), abs=0.01)
