"""What runs on the cluster."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from vfnet_batch.fetch_settings import FetchSettings
from vfnet_batch.ray_runner.columns import pack_scored, unpack_entries
from vfnet_batch.ray_runner.detectors import DetectorRecipe
from vfnet_batch.shard_scoring import Scored, Scorer, score_in_order
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import VFNetError


class CellScorer:
    """One actor. Ray calls it from several threads: while the last images of a cell are slow, the next has begun.

    Args:
        recipe: of its detector.
        concurrency: images in flight at once, over all cells.
        fetching: where images by URL may come from.
    """

    def __init__(
        self,
        recipe: DetectorRecipe,
        concurrency: int,
        draw_threshold: float | None,
        options: DetectionOptions,
        fetching: FetchSettings | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="vfnet-batch", daemon=True).start()

        async def open_scorer() -> Scorer:
            return Scorer(recipe.open(concurrency, options), concurrency, draw_threshold, fetching)

        self._scorer = self._result(open_scorer())

    def __call__(self, cell: dict[str, Any]) -> dict[str, Any]:
        """`{"first", "entries"}` in, `{"first", "scored", "failure"}` out; a failure is why the batch cannot go on."""
        first, entries = int(cell["first"]), unpack_entries(cell["entries"])
        scored: list[Scored] = []
        failure = ""
        try:
            self._result(score_in_order(self._scorer, iter(enumerate(entries, first)), scored.append))
        except VFNetError as error:  # raised, it would come out of Ray as a page of its own words
            failure = str(error)
        return {"first": first, "scored": pack_scored(scored), "failure": failure}

    def _result(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
