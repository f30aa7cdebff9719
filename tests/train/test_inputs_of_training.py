"""Data as an MLTable folder, and checkpoints as safetensors: from there to a training's end, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tiny_training import HEIGHT, WIDTH, finetune_arguments
from vfnet_build.building import build
from vfnet_client.cli import main
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.manifest import BuildOptions, Manifest

pytestmark = pytest.mark.training


def write_mltable(folder: Path, scenes: Path) -> Path:
    """The scenes as AutoML has them: an MLTable that names JSON Lines, whose boxes are fractions."""
    document = json.loads(scenes.read_text())
    names = {each["id"]: each["name"] for each in document["categories"]}
    folder.mkdir()
    lines = []
    for image in document["images"]:
        labels = []
        for each in document["annotations"]:
            if each["image_id"] == image["id"]:
                x, y, width, height = each["bbox"]
                labels.append(
                    {
                        "label": names[each["category_id"]],
                        "topX": x / WIDTH,
                        "topY": y / HEIGHT,
                        "bottomX": (x + width) / WIDTH,
                        "bottomY": (y + height) / HEIGHT,
                        "isCrowd": 0,
                    }
                )
        url = f"azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/scenes/{image['file_name']}"
        details = {"format": "png", "width": f"{WIDTH}px", "height": f"{HEIGHT}px"}
        lines.append(json.dumps({"image_url": url, "image_details": details, "label": labels}))
    (folder / "train_annotations.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "MLTable").write_text(
        "paths:\n  - file: ./train_annotations.jsonl\n"
        "transformations:\n  - read_json_lines:\n        encoding: utf8\n        invalid_lines: error\n"
        "        include_path_column: false\n"
        "  - convert_column_types:\n      - columns: image_url\n        column_type: stream_info\n"
    )
    return folder


def test_an_mltable_trains_as_the_same_data_in_cocos_format(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    table = write_mltable(tmp_path / "table", scenes)
    more = ("--epochs", "1", "--images", str(scenes.parent))
    classes = tmp_path / "classes.txt"
    classes.write_text("red\nblue\n")
    for name, data in (("table", table), ("coco", scenes)):
        arguments = finetune_arguments(data, tiny_checkpoint, tmp_path / f"run_{name}", *more)
        assert main([*arguments, "--classes", str(classes)]) == 0
    ours, theirs = (load_checkpoint(tmp_path / f"run_{name}" / "last.pth") for name in ("table", "coco"))
    assert ours.config.classes == theirs.config.classes == ("red", "blue")
    for key, value in theirs.state_dict.items():
        torch.testing.assert_close(ours.state_dict[key], value, rtol=1e-4, atol=1e-6, msg=key)
    assert not torch.equal(
        ours.state_dict["bbox_head.vfnet_cls.weight"],
        load_checkpoint(tiny_checkpoint).state_dict["bbox_head.vfnet_cls.weight"],
    )


def test_safetensors_are_trained_on_and_what_comes_out_becomes_safetensors_that_build(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    start, end = tmp_path / "start.safetensors", tmp_path / "end.safetensors"
    assert main(["convert", str(tiny_checkpoint), str(start)]) == 0
    for name, init in (("safetensors", start), ("pth", tiny_checkpoint)):
        assert main(finetune_arguments(scenes, init, tmp_path / name, "--epochs", "1")) == 0
    ours, theirs = (load_checkpoint(tmp_path / name / "best.pth") for name in ("safetensors", "pth"))
    assert all(torch.equal(ours.state_dict[key], value) for key, value in theirs.state_dict.items())
    assert main(["convert", str(tmp_path / "safetensors" / "best.pth"), str(end)]) == 0
    with safe_open(end, "pt") as file:
        assert torch.equal(
            file.get_tensor("bbox_head.vfnet_cls.weight"), theirs.state_dict["bbox_head.vfnet_cls.weight"]
        )
    build(str(end), tmp_path / "repository", BuildOptions())
    manifest = Manifest.read(tmp_path / "repository")
    assert manifest is not None
    assert manifest.classes == ("red", "blue")


def test_a_training_does_not_go_on_from_other_weights(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, output = tmp_path / "start.safetensors", tmp_path / "run"
    assert main(["convert", str(tiny_checkpoint), str(start)]) == 0
    assert main(finetune_arguments(scenes, start, output, "--epochs", "1")) == 0
    start.write_bytes(start.read_bytes()[:-1] + b"\x01")
    assert main(finetune_arguments(scenes, start, output, "--epochs", "1")) == 1
    assert "holds another training: initial weights was" in capsys.readouterr().err
