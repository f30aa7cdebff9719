"""The output: one batch's folder, its shards and pictures, each there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vfnet_batch.errors import BatchError
from vfnet_batch.ledger import Span, finished_shards, shard_path
from vfnet_batch.rows import Row
from vfnet_batch.shard_formats import ShardFormat
from vfnet_batch.shard_scoring import Scored
from vfnet_client.atomic_files import (
    durable_file,
    fitting_name,
    locked_file,
    make_folder_inside,
    remove_unfinished,
    write_inside,
)
from vfnet_client.safe_text import printable_line

_LOCK = ".lock"
_PICTURES_A_FOLDER = 1000


class OutputFolder:
    """Where a batch is written."""

    def __init__(self, root: Path, shard_format: ShardFormat) -> None:
        self.root, self._format = root, shard_format
        self.shards = root / "shards"
        self.pictures = root / "pictures"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The folder, made where it is missing, for one process at a time; what a killed one left is removed.

        Raises:
            BatchError: another process has it, or it is something else's.
        """
        if self.root.is_file():
            raise BatchError(f"{self.root} is a file; --output names a folder")
        if self.root.is_dir() and not (self.root / _LOCK).exists() and any(self.root.iterdir()):
            raise BatchError(f"{self.root} is not empty and holds no batch: choose another --output")
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_file(self.root / _LOCK, wait=False))
            except BlockingIOError:
                raise BatchError(f"another vfnet batch is writing to {self.root}") from None
            make_folder_inside(self.shards)
            for folder in (self.root, self.shards):
                remove_unfinished(folder)
            yield

    def finished(self, count: int) -> dict[Span, Path]:
        """See `vfnet_batch.ledger.finished_shards`."""
        return finished_shards(self.shards, self._format.suffix, count)

    def rows(self, shards: Sequence[Path]) -> Iterator[Row]:
        """The rows of shards.

        Raises:
            BatchError: one is damaged.
        """
        for path in shards:
            try:
                yield from self._format.read(path)
            except (ValueError, KeyError, TypeError) as error:
                raise BatchError(f"{path} is damaged ({error}): remove it and give the same command") from error

    def write_shard(self, first: int, scored: Sequence[Scored]) -> None:
        """Write the rows of consecutive images from position `first` on, their pictures before them.

        Raises:
            BatchError: there is no room, or the disk fails.
        """
        path = shard_path(self.shards, Span(first, first + len(scored)), self._format.suffix)
        try:
            for each in scored:
                if each.picture is not None:
                    self._write_picture(each, each.picture)
            with durable_file(path) as file:
                self._format.write([each.row for each in scored], file)
        except OSError as error:
            raise writing_failed(path, error) from error

    def _write_picture(self, scored: Scored, picture: tuple[bytes, str]) -> None:
        encoded, suffix = picture
        folder = self.pictures / f"{scored.position // _PICTURES_A_FOLDER:06}"
        make_folder_inside(self.pictures)
        make_folder_inside(folder)
        stem = printable_line(Path(scored.row.image.replace("\\", "/")).stem, 100).replace("\\", "_") or "image"
        write_inside(folder / fitting_name(f"{scored.position:09}-{stem}", suffix), encoded)


def writing_failed(path: Path, error: OSError) -> BatchError:
    """For a person who has to make room."""
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
    return BatchError(
        f"cannot write {path}: {error.strerror or error} ({free / 2**20:.0f} MiB free there); "
        "what was finished before is kept: with that mended, the same command goes on"
    )
