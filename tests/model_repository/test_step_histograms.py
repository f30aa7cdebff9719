"""The steps of an image as histograms among Triton's metrics, which are stood in for by a dictionary."""

from __future__ import annotations

import sys
from bisect import bisect_left
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from vfnet_runtime import latency_buckets
from vfnet_runtime.step_times import DECODE, RESIZE, ImageSteps

BOUNDS = [*map(latency_buckets.label_of, latency_buckets.SECONDS), latency_buckets.INFINITE]
Samples = dict[tuple[str, str, str], float]
"""By metric, step, and `le`."""


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Samples:
    """What Triton has been told."""
    told = Samples()

    class MetricFamily:
        COUNTER = "counter"

        def __init__(self, name: str, description: str, kind: str) -> None:
            assert description
            assert kind == self.COUNTER
            self.name = name

        def Metric(self, labels: dict[str, str]) -> Any:  # noqa: N802 - Triton's name
            assert labels["model"] == "vfnet"
            key = (self.name.removeprefix("vfnet_step_seconds_"), labels["step"], labels.get("le", ""))
            told[key] = 0.0

            def increment(by: float) -> None:
                told[key] += by

            return SimpleNamespace(increment=increment)

    warnings = SimpleNamespace(log_warn=lambda message: pytest.fail(message))
    monkeypatch.setitem(
        sys.modules, "triton_python_backend_utils", SimpleNamespace(MetricFamily=MetricFamily, Logger=warnings)
    )
    for module in ("lasting_counters", "step_histograms"):
        monkeypatch.delitem(sys.modules, f"vfnet_runtime.triton_models.{module}", raising=False)
    return told


def an_image(**milliseconds: float) -> ImageSteps:
    """One whose steps took so long, one after another."""
    image = ImageSteps(None, started=0)
    for name, took in milliseconds.items():
        begins = image.steps[-1].ended if image.steps else 0
        image.note(name, begins, begins + round(1e6 * took))
    image.ended = image.steps[-1].ended if image.steps else 0
    return image


def told_of(*images: ImageSteps) -> None:
    from vfnet_runtime.triton_models.step_histograms import OF_PREPROCESS, PREPROCESS, StepHistograms

    histograms = StepHistograms("vfnet_preprocess", OF_PREPROCESS, PREPROCESS)
    for image in images:
        histograms.told(image)
    histograms.close()


def test_buckets_hold_what_took_no_longer(samples: Samples) -> None:
    told_of(*(an_image(decode=took, resize=1) for took in (0.5, 1.0, 4.0, 4.9, 90_000.0)))
    by_bound = {bound: samples["bucket", DECODE, bound] for bound in BOUNDS}
    assert by_bound["0.001"] == 2  # its bound is in it
    assert by_bound["0.003"] == 2
    assert by_bound["0.005"] == 4
    assert by_bound["70.0"] == 4
    assert by_bound["+Inf"] == samples["count", DECODE, ""] == 5
    assert samples["sum", DECODE, ""] == pytest.approx(90.0104)
    assert samples["count", RESIZE, ""] == 5
    assert list(by_bound.values()) == sorted(by_bound.values())


def test_the_whole_is_a_step(samples: Samples) -> None:
    told_of(an_image(decode=40, resize=20))
    assert samples["sum", "preprocess", ""] == pytest.approx(0.06)
    assert [samples["bucket", "preprocess", bound] for bound in ("0.05", "0.07")] == [0, 1]


def test_an_image_without_an_answer_is_left_out(samples: Samples) -> None:
    image = an_image(decode=40)
    image.error = "the image is broken"
    told_of(image)
    assert set(samples.values()) == {0.0}


def test_every_series_is_there_from_the_start(samples: Samples) -> None:
    """Prometheus does not see the first step of one that begins with it."""
    told_of()
    assert {bound for metric, step, bound in samples if (metric, step) == ("bucket", "wait")} == set(BOUNDS)


def test_bounds_lie_close_together() -> None:
    """So that a quantile is wrong by a part of itself, and round figures are counted exactly."""
    seconds = latency_buckets.SECONDS
    assert all(1 < later / earlier <= 5 / 3 for earlier, later in pairwise(seconds))
    assert {0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0} <= set(seconds)
    assert seconds[bisect_left(seconds, 60.0)] == 70.0  # the gateway gives up after 60 s
