"""Two deployments of a model side by side, asked about the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from vfnet_client.client import VFNetClient
from vfnet_client.commands.health import generated_picture
from vfnet_client.detections import Detections
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import encode_png
from vfnet_client.progress import with_progress
from vfnet_data.dataset import DetectionDataset
from vfnet_deploy.errors import DeployError
from vfnet_evaluate.agreement import Matched, matched_pairs
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import detect_with_server
from vfnet_model.detectors.image_detections import ImageDetections

SURE = 0.3
"""Scores from which a box counts."""
SAME_PLACE = 0.5
"""Intersection over union from which two boxes of a class are one."""
_FEWEST_TIMES = 4
_PHOTO = (640, 480)
_TIMEOUT = 120.0


@dataclass(frozen=True)
class Comparison:
    """What came of it."""

    images: int
    live_boxes: int
    """Above `SURE`."""
    candidate_boxes: int
    matched: Matched
    """The live one's boxes above `SURE`, and how many of them the candidate has at the same place in the same class."""
    mean_score_difference: float
    """Of matched boxes, without its sign; 0 without any."""
    largest_score_difference: float
    live_seconds: float
    """For one image alone, median."""
    candidate_seconds: float
    live_ap: float | None = None
    candidate_ap: float | None = None

    @property
    def slowdown(self) -> float:
        """How many times as long the candidate takes."""
        return self.candidate_seconds / self.live_seconds

    def __str__(self) -> str:
        lines = [
            f"compared on {self.images} image{'' if self.images == 1 else 's'}:",
            f"  boxes that score above {SURE}: {self.live_boxes} now, {self.candidate_boxes} then; "
            f"{self.matched.found} of {self.matched.total} are found again ({100 * self.matched.share:.1f} %)",
            f"  their scores differ by {self.mean_score_difference:.4f} on average, "
            f"by {self.largest_score_difference:.4f} at most",
            f"  one image takes {1000 * self.live_seconds:.0f} ms now, {1000 * self.candidate_seconds:.0f} ms then",
        ]
        if self.live_ap is not None and self.candidate_ap is not None:
            lines.append(f"  AP is {100 * self.live_ap:.2f} now, {100 * self.candidate_ap:.2f} then")
        return "\n".join(lines)


@dataclass(frozen=True)
class Limits:
    """What a candidate has to keep to; None: anything is accepted."""

    min_agreement: float | None = None
    max_slowdown: float | None = None
    max_ap_drop: float | None = None

    def check(self, comparison: Comparison) -> None:
        """
        Raises:
            DeployError: it does not.
        """
        share, slowdown = comparison.matched.share, comparison.slowdown
        if self.min_agreement is not None and share < self.min_agreement:
            raise DeployError(
                f"it finds {100 * share:.1f} % of the boxes again, and --min-agreement asks for "
                f"{100 * self.min_agreement:g} %"
            )
        if self.max_slowdown is not None and slowdown > self.max_slowdown:
            raise DeployError(
                f"it takes {slowdown:.2f} times as long as what serves, and --max-slowdown allows {self.max_slowdown:g}"
            )
        if self.max_ap_drop is None or comparison.live_ap is None or comparison.candidate_ap is None:
            return
        if comparison.live_ap - comparison.candidate_ap > self.max_ap_drop:
            raise DeployError(
                f"its AP is {comparison.candidate_ap:.4f}, of what serves {comparison.live_ap:.4f}, and --max-ap-loss "
                f"allows {self.max_ap_drop:g} less"
            )


def compare(
    server: str, live: str, candidate: str, images: Sequence[Path], dataset: DetectionDataset | None = None
) -> Comparison:
    """Ask both in turn about each image, one at a time.

    Args:
        server: URL of Triton.
        live, candidate: names of their ensembles.
        images: at least one.
        dataset: annotated images, for AP.

    Raises:
        DeployError: the candidate fails on an image that the live one answers, or neither can read any.
        VFNetClientError: the server does not answer.
    """
    answers, times = list[tuple[Detections, Detections]](), list[tuple[float, float]]()
    with VFNetClient(server, 1, _TIMEOUT, model=live) as now, VFNetClient(server, 1, _TIMEOUT, model=candidate) as then:
        then.detect(encode_png(generated_picture(_PHOTO)))  # the first takes longer
        rounds = -(-_FEWEST_TIMES // len(images))
        for path in with_progress(list(images), len(images), "comparing"):
            try:
                for _ in range(rounds):
                    pair, took = _ask_both(now, then, path)
                    times.append(took)
            except InvalidImageError:
                continue  # neither can read it
            answers.append(pair)
    if not answers:
        raise DeployError(f"none of the {len(images)} images to compare on can be read")
    found = _compare_answers(answers, times)
    if dataset is None:
        return found
    live_ap, candidate_ap = (
        evaluate_detections(dataset, detect_with_server(dataset, server, model=model).detections).ap
        for model in (live, candidate)
    )
    return replace(found, live_ap=live_ap, candidate_ap=candidate_ap)


def _ask_both(
    now: VFNetClient, then: VFNetClient, path: Path
) -> tuple[tuple[Detections, Detections], tuple[float, float]]:
    started = perf_counter()
    live = now.detect(path)
    between = perf_counter()
    try:
        candidate = then.detect(path)
    except InvalidImageError as error:
        raise DeployError(f"it cannot read {path}, which what serves can: {error}") from error
    return (live, candidate), (between - started, perf_counter() - between)


def _compare_answers(
    answers: Sequence[tuple[Detections, Detections]], times: Sequence[tuple[float, float]]
) -> Comparison:
    names = sorted({box.label for pair in answers for found in pair for box in found.boxes})
    index_of = {name: index for index, name in enumerate(names)}
    counts, matched, total, differences = [0, 0], 0, 0, list[float]()
    for pair in answers:
        live, candidate = (_arrays(found, index_of) for found in pair)
        for position, each in enumerate((live, candidate)):
            counts[position] += int(np.count_nonzero(each.scores > SURE))
        pairs = matched_pairs(live, candidate, SURE, SAME_PLACE)
        matched += len(pairs)
        total += int(np.count_nonzero(live.scores > SURE))
        differences += [abs(float(live.scores[one] - candidate.scores[other])) for one, other in pairs]
    live_seconds, candidate_seconds = (median(took[side] for took in times) for side in (0, 1))
    return Comparison(
        images=len(answers),
        live_boxes=counts[0],
        candidate_boxes=counts[1],
        matched=Matched(matched, total),
        mean_score_difference=sum(differences) / len(differences) if differences else 0.0,
        largest_score_difference=max(differences, default=0.0),
        live_seconds=live_seconds,
        candidate_seconds=candidate_seconds,
    )


def _arrays(found: Detections, index_of: dict[str, int]) -> ImageDetections:
    """Boxes as fractions of the image: their overlaps are those in pixels. By falling score."""
    boxes = sorted(found.boxes, key=lambda box: -box.score)
    return ImageDetections(
        boxes=np.array([box.in_pixels(1, 1) for box in boxes], np.float64).reshape(-1, 4),
        scores=np.array([box.score for box in boxes], np.float64),
        labels=np.array([index_of[box.label] for box in boxes], np.int64),
    )
