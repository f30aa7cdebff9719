"""What a caller gets over gRPC, for the reference weights, against detections recorded from mmdet."""

from __future__ import annotations

import json

import numpy as np

from box_matching import Comparison, DetectionSet, compare
from parity_table import ParityTable
from served_inference import detect
from shared_data import SHARED, needs_shared, reference_image
from triton_server import ServedRepository

pytestmark = needs_shared


def test_every_recorded_box_is_served_and_no_other(
    reference_server: ServedRepository, parity_table: ParityTable
) -> None:
    golden = json.loads((SHARED / "reference" / "golden" / "detections.json").read_text())
    assert len(golden) == 6
    comparisons: dict[str, Comparison] = {}
    for name, record in golden.items():
        expected = DetectionSet(
            np.array(record["boxes"], np.float64).reshape(-1, 4),
            np.array(record["scores"], np.float64),
            np.array(record["labels"], np.int64),
        )
        found = detect(reference_server, reference_image(name).read_bytes())
        comparisons[name] = compare(expected, found)
        parity_table.add(f"{name} (recorded)", comparisons[name])
    assert not [wrong for comparison in comparisons.values() for wrong in comparison.wrong]
    flipped = sum(len(comparison.flipped) for comparison in comparisons.values())
    assert flipped <= 0.02 * sum(comparison.expected for comparison in comparisons.values())
