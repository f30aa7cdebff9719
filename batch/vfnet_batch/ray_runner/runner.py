"""Scoring with Ray Data: a pool of actors that grows and shrinks; this process lists, and writes what comes back."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import FrameType
from typing import Any

from vfnet_batch.batch import Batch
from vfnet_batch.errors import BatchError, InterruptedBatchError
from vfnet_batch.ledger import cut
from vfnet_batch.ray_runner.actor import CellScorer
from vfnet_batch.ray_runner.columns import pack_entries, unpack_scored
from vfnet_batch.ray_runner.detectors import DetectorRecipe

LOCAL = "local"
_CELLS_AT_ONCE = 2
"""Of one actor."""


@dataclass(frozen=True)
class ClusterSettings:
    """Where and with how many actors."""

    address: str
    """`local` starts a cluster of this machine; `auto` is the one this process runs in; or host:port."""
    min_actors: int = 1
    max_actors: int = 4
    cpus: float = 1.0
    gpus: float = 0.0
    """Of each actor."""


def score_on_ray(batch: Batch, cluster: ClusterSettings, recipe: DetectorRecipe) -> None:
    """Score what is left to do. An actor or machine that dies is replaced, and its work done again, by Ray.

    Raises:
        InterruptedBatchError: a signal ended it.
        BatchError: the cluster cannot be reached, an actor could not go on, or the output cannot be written. What was
            done is saved.
    """
    import ray

    with _connected(cluster), _raised_signals():
        cells = _cells(batch)
        actors = ray.data.ActorPoolStrategy(
            min_size=cluster.min_actors,
            max_size=cluster.max_actors,
            max_tasks_in_flight_per_actor=2 * _CELLS_AT_ONCE,
            max_concurrent_calls_per_actor=_CELLS_AT_ONCE,
            enable_true_multi_threading=True,
        )
        settings = batch.settings
        batch.progress.begin()
        scored = ray.data.from_items(cells, override_num_blocks=len(cells)).map(
            CellScorer,
            fn_constructor_args=(
                recipe,
                settings.concurrency,
                settings.draw_threshold,
                settings.options,
                settings.fetching,
            ),
            compute=actors,
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
        )
        try:
            for cell in scored.iter_rows():
                shard = unpack_scored(cell["scored"])
                if shard:
                    batch.write_shard(int(cell["first"]), shard)
                batch.progress.advance(len(shard))
                if cell["failure"]:
                    raise BatchError(cell["failure"])
        except ray.exceptions.RayError as error:
            raise BatchError(f"Ray could not go on: {str(error).strip().splitlines()[0]}") from error


def _cells(batch: Batch) -> list[dict[str, Any]]:
    spans = list(cut(iter(batch.todo), batch.settings.shard_images))
    entries = (entry for _, entry in batch.plan.entries(spans))
    return [{"first": span.first, "entries": pack_entries(list(islice(entries, len(span))))} for span in spans]


@contextmanager
def _connected(cluster: ClusterSettings) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    options: dict[str, Any] = {"include_dashboard": False} if cluster.address == LOCAL else {}
    if cluster.address == LOCAL:
        options["num_cpus"] = max(os.cpu_count() or 1, cluster.min_actors * cluster.cpus + 1)
    try:
        ray.init(cluster.address, log_to_driver=True, logging_level="warning", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BatchError(f"cannot reach a Ray cluster at {cluster.address}: {error}") from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _raised_signals() -> Iterator[None]:
    """SIGINT and SIGTERM as exceptions, once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise InterruptedBatchError(f"stopped by {signal.Signals(number).name}; the same command goes on", number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
