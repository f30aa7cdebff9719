"""What docs/tiling.md says of tiles, measured again: `python tests/evaluate/measure_tiling.py OUTPUT`.

Scenes are composed of shrunk photos of odFridgeObjects' validation split (../shared/data), which the demonstration
checkpoint was not trained on. A real Triton serves a checkpoint, and the client detects in every scene, without tiles
and with several tilings, one scene at a time. A picture shows a scene, its tiles and what was found.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support")]

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from small_object_scenes import write_scenes
from triton_server import serving
from vfnet_build.building import BuildOptions, build
from vfnet_client import Detections, Tiling, VFNetClient
from vfnet_client.atomic_files import write_whole
from vfnet_data.dataset import DetectionDataset
from vfnet_data.reading import read_dataset
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import as_detected
from vfnet_tiling.geometry import tiles_of
from vfnet_tiling.tiling import parse_grid_size

PHOTOS = ROOT.parent / "shared" / "data" / "odFridgeObjects"
FIGURES = ("AP", "AP50", "APs", "APm", "APl", "AR100")
TILINGS: tuple[Tiling | None, ...] = (
    None,
    Tiling(tile_grid_size=(3, 2)),
    Tiling(tile_grid_size=(4, 3)),
    Tiling(tile_grid_size=(6, 5)),
    Tiling(tile_grid_size=(6, 5), tile_predictions_nms_thresh=0.25),
    Tiling(tile_grid_size=(6, 5), whole_image=False),
    Tiling(tile_size=(340, 300), tile_overlap_ratio=0.2),
)
DRAWN = 3
"""Of `TILINGS`."""


def main() -> None:
    """Compose, serve, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--checkpoint", default="demo", help="what is served (default: demo)")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "coco_val.json", help="whose photos scenes are made of")
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grids", nargs="+", type=parse_grid_size, metavar="3x2", help="only without tiles, and these")
    parser.add_argument("--only-compose", action="store_true", help="write the scenes and end")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = read_dataset(arguments.photos, PHOTOS / "images")
    dataset = read_dataset(
        write_scenes(photos, arguments.output / "scenes", arguments.scenes, arguments.seed), allow_unreadable=False
    )
    if arguments.only_compose:
        return
    repository = arguments.output / "repository"
    if not repository.exists():
        build(arguments.checkpoint, repository, BuildOptions())
    classes = (repository / "vfnet_postprocess" / "labels.txt").read_text().splitlines()
    rows = []
    with (
        serving(repository, arguments.output) as served,
        VFNetClient(served.grpc_url, concurrency=16, timeout=300) as client,
    ):
        grids = [Tiling(tile_grid_size=grid) for grid in arguments.grids or ()]
        for tiling in (None, *grids) if grids else TILINGS:
            rows.append(measured(client, dataset, classes, tiling, rows[0]["seconds"] if rows else None))
            print("| " + " | ".join(cells(rows[-1])) + " |", flush=True)
        tiling = TILINGS[DRAWN]
        assert tiling is not None
        picture = dataset.images[0].path
        drawn = draw(picture, [client.detect(picture), client.detect(picture, tiling=tiling)], tiling)
    write_whole(arguments.output / "tiling.png", drawn)
    write_whole(arguments.output / "figures.json", json.dumps(rows, indent=2).encode() + b"\n")


def measured(
    client: VFNetClient, dataset: DetectionDataset, classes: list[str], tiling: Tiling | None, first: float | None
) -> dict[str, Any]:
    """Figures, inferences and median seconds of a scene."""
    seconds, answers = [], list[Detections | None]()
    client.detect(dataset.images[0].path, tiling=tiling)  # the first image of a size takes longer
    for image in dataset.images:
        began = time.perf_counter()
        answers.append(client.detect(image.path, tiling=tiling))
        seconds.append(time.perf_counter() - began)
    detected = as_detected(dataset, answers, classes, {}, all_known=True)
    figures = evaluate_detections(dataset, detected.detections).figures
    tiles = 0 if tiling is None else len(tiles_of(tiling, dataset.images[0].width, dataset.images[0].height))
    typical = median(seconds)
    return {
        "tiling": "none" if tiling is None else str(tiling),
        "inferences": tiles + (tiling is None or tiling.whole_image),
        "seconds": typical,
        "of_first": typical / (first or typical),
        **{name: figures[name] for name in FIGURES},
    }


def cells(row: dict[str, Any]) -> list[str]:
    """Of a table in Markdown."""
    return [
        row["tiling"], str(row["inferences"]), f"{row['seconds']:.2f}", f"{row['of_first']:.1f}",
        *(f"{row[name]:.3f}" for name in FIGURES),
    ]  # fmt: skip


def draw(path: Path, found: list[Detections], tiling: Tiling) -> bytes:
    """A scene twice, without tiles and with, and boxes that score above 0.3, as PNG."""
    import io

    with Image.open(path) as picture:
        pixels = picture.convert("RGB").resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
        size = picture.size
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    titles = ("the image as a whole", f"and {tiling.tile_grid_size} tiles".replace("(6, 5)", "6x5"))
    for axes, detections, title in zip(figure.subplots(1, 2), found, titles, strict=True):
        axes.imshow(pixels, extent=(0, size[0], size[1], 0))
        shown = [box for box in detections.boxes if box.score > 0.3]
        for box in shown:
            x1, y1, x2, y2 = box.in_pixels(*size)
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=0.8, color="#00e5ff"))
        axes.set_title(f"{title}: {len(shown)} boxes above 0.3", fontsize=9)
        axes.set_axis_off()
    for number, tile in enumerate(tiles_of(tiling, *size)):
        colour = ("#ffd166", "#ef476f", "#8338ec", "#06d6a0")[number % 4]
        axes.add_patch(
            Rectangle((tile.left, tile.top), tile.width, tile.height, fill=False, lw=1.2, ls="--", color=colour)
        )
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).convert("RGB").quantize(128).save(packed, "PNG", optimize=True)
    return packed.getvalue()


if __name__ == "__main__":
    main()
