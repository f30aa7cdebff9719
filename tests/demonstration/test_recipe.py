"""The one command makes checkpoint and card, and called again goes on instead of starting over."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.scene import render_scene
from PIL import Image

from shared_data import ROOT
from vfnet_model.checkpoints.loading import load_checkpoint

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as odFridgeObjects: two small pictures in each split."""
    folder = tmp_path_factory.mktemp("photos") / "odFridgeObjects"
    (folder / "images").mkdir(parents=True)
    (folder / "automl_jsonl").mkdir()
    for split, seeds in (("training", (0, 1)), ("validation", (2, 3))):
        lines = [json.dumps(write_photo(folder, seed)) for seed in seeds]
        (folder / "automl_jsonl" / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def write_photo(folder: Path, seed: int, width: int = 96, height: int = 128) -> dict[str, object]:
    """A row of AutoML JSONL."""
    scene = render_scene(seed, width, height)
    Image.fromarray(scene.pixels).save(folder / "images" / f"{seed}.png")
    labels = [
        dict(
            zip(("topX", "topY", "bottomX", "bottomY"), (x1 / width, y1 / height, x2 / width, y2 / height), strict=True)
        )
        | {"label": CLASSES[label]}
        for (x1, y1, x2, y2), label in zip(scene.boxes.tolist(), scene.labels, strict=True)
    ]
    return {"image_url": f"images/{seed}.png", "image_details": {"width": width, "height": height}, "label": labels}


def run(words: list[str]) -> str:
    """Standard output of a process of its own: one that has used OpenCV's threads must not start workers."""
    command = [sys.executable, "-m", "demonstration", *words]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_command_makes_a_checkpoint_and_its_card(photos: Path, backbone_weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "demonstration"
    words = ["--photos", str(photos), "--backbone", str(backbone_weights), "--output", str(output)]
    words += ["--scenes", "2", "--validation-scenes", "1", "--epochs", "1", "--batch-size", "4", "--scale", "96x64"]
    checkpoint, card = map(Path, run(words).split())
    found = load_checkpoint(checkpoint)
    assert (found.config.classes, found.untrained) == (CLASSES, False)
    assert found.config.preprocess.img_scale == (96, 64)
    text = card.read_text()
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in text
    assert "--scenes 2 --validation-scenes 1 --scale 96x64 --epochs 1" in text
    assert str(tmp_path) not in text
    scene = next((output / "scenes").rglob("scene_001000.png"))
    written = scene.stat().st_mtime_ns
    before = checkpoint.read_bytes()
    run(words)
    assert scene.stat().st_mtime_ns == written
    assert checkpoint.read_bytes() == before


def test_another_folder_is_refused_before_any_work(backbone_weights: Path, tmp_path: Path) -> None:
    words = ["--photos", str(tmp_path), "--backbone", str(backbone_weights)]
    command = [sys.executable, "-m", "demonstration", *words, "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    reason = done.stderr
    for name in ("images", "automl_jsonl/training.jsonl", "automl_jsonl/validation.jsonl"):
        assert f"there is no {name}; expected is the folder odFridgeObjects" in reason
    assert not (tmp_path / "out").exists()
