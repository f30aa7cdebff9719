"""A batch from its first start to its summary, whichever way the images are scored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from vfnet_batch.errors import BatchError
from vfnet_batch.exports import write_coco, write_predictions
from vfnet_batch.inputs.opening import open_input
from vfnet_batch.ledger import Span, gaps
from vfnet_batch.output_folder import OutputFolder, writing_failed
from vfnet_batch.plan import Plan, make_plan
from vfnet_batch.settings import BatchSettings
from vfnet_batch.shard_formats import json_lines, parquet
from vfnet_batch.shard_scoring import Scored
from vfnet_batch.tally import Tally
from vfnet_client.atomic_files import durable_file
from vfnet_client.bounded_files import read_text
from vfnet_client.progress import Progress

SUMMARY = "summary.json"
_MOST_STATE_BYTES = 64 << 20


@dataclass
class Batch:
    """A batch that is under way: what there is to do, and where results go."""

    settings: BatchSettings
    output: OutputFolder
    plan: Plan
    tally: Tally
    todo: tuple[Span, ...]
    progress: Progress
    written: list[Path] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """What was odd about images of this run that were answered all the same."""
    waited: float = 0.0
    """Seconds in which results could not be taken because a shard was still being written."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do, the files of all shards included."""
        return not self.todo and (self.output.root / SUMMARY).exists()

    def write_shard(self, first: int, scored: Sequence[Scored]) -> None:
        """See `OutputFolder.write_shard`; counted."""
        self.output.write_shard(first, scored)
        self.tally.add(each.row for each in scored)
        self.notes.update(each.note for each in scored if each.note is not None)

    def finish(self) -> None:
        """Make the files that are made of all shards, and the summary.

        Raises:
            BatchError: they cannot be written.
        """
        shards = list(self.output.finished(self.plan.count).values())
        root = self.output.root
        seconds, images = self.progress.seconds, self.progress.advanced
        rate = images / seconds if images else None
        last_run: dict[str, Any] = {
            "images": images,
            "seconds": seconds,
            "images_per_s": rate,
            "waited_for_writing_s": self.waited,
        }
        if self.notes:
            last_run["notes"] = dict(self.notes)
        passed_over = self.plan.source.passed_over.to_json()
        summary = {**self.tally.to_json(), "passed_over": passed_over, "last_run": last_run}
        if self.plan.source.notes:
            summary["input_notes"] = list(self.plan.source.notes)
        try:
            if self.settings.format == "csv":
                self.written = write_predictions(root, self.output.rows(shards))
            elif self.settings.format == "coco":
                categories = self.plan.source.categories
                self.written = write_coco(root, lambda: self.output.rows(shards), self.tally.boxes, categories)
            with durable_file(root / SUMMARY) as file:
                file.write(json.dumps(summary, indent=2, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise writing_failed(root, error) from error


@contextmanager
def opened_batch(settings: BatchSettings, identify_model: Callable[[], str | None]) -> Iterator[Batch]:
    """Claim the output, list the input, find what is left to do.

    Args:
        identify_model: makes the model ready; what identifies its weights, where that is known.

    Raises:
        BatchError: the input or the output cannot be used, or the output holds another batch.
    """
    shard_format = parquet() if settings.format == "parquet" else json_lines()
    source = open_input(
        settings.input, settings.images, settings.column, settings.output, skip_invalid=settings.skip_invalid
    )
    output = OutputFolder(settings.output, shard_format)
    with output.claimed():
        plan = make_plan(settings.output, source, settings.of_the_output(identify_model()))
        shards = output.finished(plan.count)
        todo = tuple(gaps(list(shards), plan.count))
        if todo:
            (settings.output / SUMMARY).unlink(missing_ok=True)  # of a batch that somebody removed shards of
        tally = _read_tally(output, list(shards.values()))
        done = sum(map(len, shards))
        is_for_machines = settings.log_format == "json"
        progress = Progress(
            "scoring", plan.count, before=done, speaker="vfnet batch", keeps_bar=True, is_for_machines=is_for_machines
        )
        with progress:
            for note in source.notes:
                progress.say(note)
            if source.passed_over:
                progress.say(str(source.passed_over), "WARNING")
            if shards:
                progress.say(f"going on: {done} of {plan.count} images are done")
            yield Batch(settings, output, plan, tally, todo, progress)


def _read_tally(output: OutputFolder, shards: Sequence[Path]) -> Tally:
    """Of what is done: from the summary where there is one, else from the shards."""
    if (output.root / SUMMARY).exists():
        try:
            return Tally.from_json(json.loads(read_text(output.root / SUMMARY, _MOST_STATE_BYTES)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BatchError(f"{output.root / SUMMARY} is damaged: remove it and give the same command") from error
    tally = Tally()
    tally.add(chain.from_iterable(output.rows([path]) for path in shards))
    return tally
