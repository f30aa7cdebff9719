"""What a new model has to keep to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vfnet_deploy.comparing import Comparison, Limits
from vfnet_deploy.errors import DeployError
from vfnet_evaluate.agreement import Matched

FOUND = Comparison(
    images=3,
    live_boxes=10,
    candidate_boxes=9,
    matched=Matched(8, 10),
    mean_score_difference=0.01,
    largest_score_difference=0.02,
    live_seconds=0.1,
    candidate_seconds=0.15,
    live_ap=0.5,
    candidate_ap=0.45,
)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(min_agreement=0.9), "finds 80.0 % of the boxes again, and --min-agreement asks for 90 %"),
        (Limits(max_slowdown=1.4), r"1\.50 times as long as what serves, and --max-slowdown allows 1\.4"),
        (Limits(max_ap_drop=0.04), "AP is 0.4500, of what serves 0.5000"),
    ],
)
def test_one_that_does_not_is_refused(limits: Limits, reason: str) -> None:
    with pytest.raises(DeployError, match=reason):
        limits.check(FOUND)


def test_without_limits_anything_is_accepted() -> None:
    Limits().check(FOUND)
    Limits(0.8, 1.51, 0.06).check(FOUND)
    Limits(max_ap_drop=0.0).check(replace(FOUND, live_ap=None))
