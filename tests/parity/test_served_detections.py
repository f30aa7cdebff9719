"""What a caller gets over gRPC, for the reference weights, against detections recorded from mmdet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from box_matching import Comparison, DetectionSet, compare
from parity_table import ParityTable
from served_inference import detect
from shared_data import SHARED, needs_shared, reference_image
from triton_server import ServedRepository, serving
from vfnet_build.building import build
from vfnet_build.repository import BuildOptions

pytestmark = needs_shared


def recorded() -> dict[str, dict[str, list[float]]]:
    golden: dict[str, dict[str, list[float]]] = json.loads(
        (SHARED / "reference" / "golden" / "detections.json").read_text()
    )
    assert len(golden) == 6
    return golden


def assert_served(
    server: ServedRepository, golden: dict[str, dict[str, list[float]]], table: ParityTable, engine: str
) -> None:
    comparisons: dict[str, Comparison] = {}
    for name, record in golden.items():
        expected = DetectionSet(
            np.array(record["boxes"], np.float64).reshape(-1, 4),
            np.array(record["scores"], np.float64),
            np.array(record["labels"], np.int64),
        )
        found = detect(server, reference_image(name).read_bytes())
        comparisons[name] = compare(expected, found)
        table.add(f"{name} (recorded{engine})", comparisons[name])
    assert not [wrong for comparison in comparisons.values() for wrong in comparison.wrong]
    flipped = sum(len(comparison.flipped) for comparison in comparisons.values())
    assert flipped <= 0.02 * sum(comparison.expected for comparison in comparisons.values())


def test_every_recorded_box_is_served_and_no_other(
    reference_server: ServedRepository, parity_table: ParityTable
) -> None:
    assert_served(reference_server, recorded(), parity_table, "")


def test_pytorch_serves_the_recorded_boxes_too(
    reference_checkpoint: Path, tmp_path: Path, parity_table: ParityTable
) -> None:
    build(str(reference_checkpoint), tmp_path / "repository", BuildOptions("torch"))
    some = {"china_480x640": recorded()["china_480x640"]}
    with serving(tmp_path / "repository", tmp_path) as server:
        assert_served(server, some, parity_table, ", torch")
