"""The pictures that the product carries for the demonstration checkpoint: a sample, and scenes for int8.

`python -m demonstration.shipped_pictures` writes them anew, byte for byte the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from demonstration.rendered_scenes.dataset import ANNOTATIONS, write_rendered_dataset
from demonstration.rendered_scenes.sample import write_sample_scene
from demonstration.rendered_scenes.scene_seeds import TRAINING_SEED, VALIDATION_SEED
from vfnet_model.checkpoints.demo import CALIBRATION_SCENES, SAMPLE_PICTURE, VALIDATION_SCENES

CALIBRATION_COUNT, VALIDATION_COUNT = 48, 40
_JPEG_QUALITY = 90


def write_shipped_pictures(processes: int = 1) -> None:
    """Write the sample as PNG and the scenes as JPEG, which takes a fifth of the space."""
    write_sample_scene(SAMPLE_PICTURE)
    for folder, count, seed in (
        (CALIBRATION_SCENES, CALIBRATION_COUNT, TRAINING_SEED),
        (VALIDATION_SCENES, VALIDATION_COUNT, VALIDATION_SEED),
    ):
        with TemporaryDirectory() as scratch:
            annotations = write_rendered_dataset(Path(scratch), count, seed, processes=processes)
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "images").mkdir(parents=True)
            for scene in sorted((annotations.parent / "images").glob("*.png")):
                target = folder / "images" / f"{scene.stem}.jpg"
                Image.open(scene).save(target, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
            (folder / ANNOTATIONS).write_text(annotations.read_text().replace(".png", ".jpg"))


if __name__ == "__main__":
    write_shipped_pictures()
