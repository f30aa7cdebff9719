"""How often drift is found where there is none, and where there is: over images whose boxes resemble each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vfnet_drift import testing
from vfnet_drift.comparison import compare
from vfnet_drift.side import Side
from vfnet_profile.features import FoundBox, Observation, observe
from vfnet_profile.profile import Profile

REPETITIONS = 60


def scenes(generator: np.random.Generator, count: int, *, cars: float = 0.5, side: float = 0.2) -> list[Observation]:
    """Images whose boxes are nearly all of one class and of one size, as of a street or a shelf."""
    found = []
    for _ in range(count):
        mostly_cars = generator.random() < cars
        size = side * np.exp(generator.normal(0, 0.4))
        boxes = []
        for _ in range(generator.integers(3, 12)):
            label = "car" if (generator.random() < 0.95) == mostly_cars else "cup"
            boxes.append(FoundBox(label, size, size * generator.uniform(0.9, 1.1), 0.5))
        found.append(observe(None, boxes, (640, 480)))
    return found


def side(observations: list[Observation]) -> Side:
    return Side("side", len(observations), observations)


@pytest.fixture(autouse=True)
def _fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "PERMUTATIONS", 199)


def test_two_samples_of_one_kind_are_told_apart_no_more_often_than_said() -> None:
    generator = np.random.default_rng(3)
    alarms, naive, by_histogram = 0, 0, 0
    for _ in range(REPETITIONS):
        first, second = scenes(generator, 60), scenes(generator, 60)
        comparison = compare(side(first), side(second), least_effect=0.0)
        alarms += bool(comparison.drifted)
        classes = next(each for each in comparison.results if each.feature == "class")
        table = np.stack([classes.expected.counts, classes.found.counts])[:, :2]
        naive += stats.chi2_contingency(table).pvalue <= 0.05
        effects = (classes.expected.design_effect, classes.found.design_effect)
        by_histogram += testing.distance_of_histograms(classes.expected.counts, classes.found.counts, effects) <= 0.05
    # 3 are expected, with a standard deviation of 1.7.
    assert alarms <= 8
    assert by_histogram <= 8
    assert naive > 20, "boxes that are taken for independent: the reason for all this"


def test_a_real_change_is_found() -> None:
    generator = np.random.default_rng(4)
    for changed, feature in (({"cars": 0.85}, "class"), ({"side": 0.13}, "box_size")):
        comparison = compare(side(scenes(generator, 150)), side(scenes(generator, 150, **changed)))
        assert feature in [each.feature for each in comparison.drifted]


def test_a_sure_but_trifling_difference_is_no_drift() -> None:
    generator = np.random.default_rng(5)
    first = [observe(None, [], (int(size), 480)) for size in generator.normal(640, 60, 6000)]
    second = [observe(None, [], (int(size), 480)) for size in generator.normal(645, 60, 6000)]
    result = next(each for each in compare(side(first), side(second)).results if each.feature == "image_size")
    assert result.q is not None
    assert result.q < 0.05
    assert result.cramers_v < 0.1
    assert result.verdict == "trifling"


def test_a_long_tail_of_classes_is_no_drift() -> None:
    generator = np.random.default_rng(6)

    def sample() -> list[Observation]:
        names = [f"class{index}" for index in (generator.zipf(1.3, (80, 4)) % 500).ravel()]
        rows = np.array(names).reshape(80, 4)
        return [observe(None, [FoundBox(str(name), 0.2, 0.2, 0.5) for name in row], (640, 480)) for row in rows]

    alarms = 0
    for _ in range(20):
        first, second = sample(), sample()
        for reference in (side(first), Side("file", 80, profile=Profile.of(first))):
            alarms += "class" in [each.feature for each in compare(reference, side(second)).drifted]
    assert alarms <= 7, "of 40, of which 2 are expected"


def test_what_is_always_the_same_stays_so_however_it_is_computed() -> None:
    profile = Profile.of([observe(None, [FoundBox("can", 0.2, 0.2, 0.7)], (499, 666))] * 30)
    again = [observe(None, [FoundBox("can", 0.3 - 0.1, 0.3 - 0.1, 0.7)], (249, 333))] * 30
    found = Profile.counted(again, profile.bins).histograms
    for feature in ("box_size", "aspect_ratio", "score"):
        assert found[feature].counts.tolist() == profile.histograms[feature].counts.tolist(), feature


def test_one_size_of_all_images_is_seen_to_change_a_little() -> None:
    same = [observe(None, None, (640, 480))] * 40
    wider = [observe(None, None, (660, 480))] * 40
    profile = Profile.of(same)
    assert Profile.counted(wider, profile.bins).histograms["image_size"].counts.tolist() == [0, 0, 40]
    assert "image_size" in [each.feature for each in compare(side(same), side(wider)).drifted]
