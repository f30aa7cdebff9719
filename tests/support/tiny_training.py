"""A VFNet small enough to train in a second, scenes of coloured boxes, and `vfnet finetune` on them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, NeckConfig, PreprocessConfig, VFNetConfig

VFNET = Path(sys.executable).with_name("vfnet")
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}
IMAGES, WIDTH, HEIGHT = 8, 96, 80


def tiny_config(classes: tuple[str, ...] = tuple(COLOURS)) -> VFNetConfig:
    """An eighth of the width, deformable in c5, images of 96 pixels."""
    return VFNetConfig(
        classes=classes,
        backbone=BackboneConfig(base_channels=8, stem_channels=8, stage_with_dcn=(False, False, False, True)),
        neck=NeckConfig(in_channels=(32, 64, 128, 256), out_channels=32),
        head=HeadConfig(
            num_classes=len(classes),
            in_channels=32,
            feat_channels=32,
            stacked_convs=1,
            num_groups=8,
            dcn_on_last_conv=True,
        ),
        preprocess=PreprocessConfig(img_scale=(WIDTH, HEIGHT)),
    )


def write_scenes(folder: Path, images: int = IMAGES, seed: int = 0) -> Path:
    """Pictures with one or two boxes each and their COCO JSON; the path of the latter."""
    random = np.random.default_rng(seed)
    document: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": index, "name": name} for index, name in enumerate(COLOURS, 1)],
    }
    folder.mkdir(parents=True)
    for number in range(1, images + 1):
        pixels = random.integers(90, 130, (HEIGHT, WIDTH, 3), np.uint8)
        for _ in range(random.integers(1, 3)):
            label = int(random.integers(1, 3))
            width, height = (int(side) for side in random.integers(20, 50, 2))
            x, y = int(random.integers(0, WIDTH - width)), int(random.integers(0, HEIGHT - height))
            pixels[y : y + height, x : x + width] = list(COLOURS.values())[label - 1]
            annotation = {"id": len(document["annotations"]) + 1, "image_id": number, "category_id": label}
            document["annotations"].append(
                annotation | {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0}
            )
        Image.fromarray(pixels).save(folder / f"{number}.png")
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def finetune_arguments(data: Path, init: Path, output: Path, *more: str) -> list[str]:
    """Three epochs of two steps on one thread; the state is saved after every step."""
    return [
        "finetune",
        *("--data", str(data), "--validation", str(data), "--init", str(init), "--output", str(output)),
        *("--epochs", "3", "--batch-size", "4", "--learning-rate", "1e-3", "--threads", "1", "--workers", "0"),
        *("--save-every", "1", "--log-every", "1", "--device", "cpu", *more),
    ]


def run_python(code: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run code, then `vfnet` with the arguments, in a process of its own."""
    program = f"{code}\nimport sys\nfrom vfnet_client.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
