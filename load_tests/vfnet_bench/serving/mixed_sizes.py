"""Photos of many shapes at once, against each shape alone: what mixing them costs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from time import perf_counter

from vfnet_bench.load import call_in_turn, rate
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.serving.detector_counts import detector_counts
from vfnet_bench.serving.triton_callers import TritonCallers
from vfnet_serve.endpoints import Endpoints

Size = tuple[int, int]
"""Width and height."""
SHARES: dict[Size, float] = {
    (640, 480): 0.50,
    (640, 427): 0.23,
    (480, 640): 0.13,
    (427, 640): 0.08,
    (640, 360): 0.03,
    (640, 640): 0.03,
}
"""About COCO's: how often photos have which size."""
_JPEG_BYTES = 60_000
_LENGTH = 200
_WARM_UP = 0.2
"""Of each load, which does not count."""


@dataclass(frozen=True)
class MixedRound:
    """Images a second."""

    alone: dict[Size, float]
    mixed: float
    batch: float
    """Images that the detector got together, on average, while they were mixed."""

    @property
    def expected(self) -> float:
        """Of the mixture, did every image take what it takes among its like; 0 where a size alone got no answer."""
        if not all(self.alone.values()):
            return 0.0
        return 1 / sum(share / self.alone[size] for size, share in SHARES.items())

    @property
    def ratio(self) -> float:
        """Mixed over expected; NaN where nothing was."""
        return self.mixed / self.expected if self.expected else float("nan")


def sample_photos() -> dict[Size, bytes]:
    """One of each size."""
    return {(width, height): sample_jpeg(width, height, _JPEG_BYTES) for width, height in SHARES}


def mixture(photos: dict[Size, bytes]) -> list[bytes]:
    """The photos in their shares, in an order that is random and always the same."""
    counts = {size: round(_LENGTH * share) for size, share in SHARES.items()}
    order = [photos[size] for size, count in counts.items() for _ in range(count)]
    random.Random(0).shuffle(order)
    return order


async def measure_mixed_round(
    endpoints: Endpoints, photos: dict[Size, bytes], count: int, seconds: float
) -> MixedRound:
    """Each size alone and the mixture, `seconds` each, with `count` callers in turn."""
    alone = {size: await _throughput(endpoints, [photo], count, seconds) for size, photo in photos.items()}
    before = detector_counts(endpoints)
    mixed = await _throughput(endpoints, mixture(photos), count, seconds)
    after = detector_counts(endpoints)
    return MixedRound(alone, mixed, (after[0] - before[0]) / max(1, after[1] - before[1]))


async def _throughput(endpoints: Endpoints, images: list[bytes], count: int, seconds: float) -> float:
    callers = TritonCallers(endpoints, images)
    started = perf_counter()
    answers = await call_in_turn([callers.call] * count, seconds)
    await callers.close()
    return rate(answers, (started + _WARM_UP * seconds, started + seconds))
