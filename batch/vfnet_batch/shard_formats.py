"""What a shard's file holds: JSON Lines or Parquet, the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vfnet_batch.rows import Row, from_json_lines, to_json_lines
from vfnet_client.bounded_files import open_regular


@dataclass(frozen=True)
class ShardFormat:
    """How rows become a file, and a file rows."""

    suffix: str
    write: Callable[[Sequence[Row], BinaryIO], None]
    read: Callable[[Path], Iterator[Row]]


def json_lines() -> ShardFormat:
    """One object a line."""

    def write(rows: Sequence[Row], file: BinaryIO) -> None:
        file.write(to_json_lines(rows))

    def read(path: Path) -> Iterator[Row]:
        with open_regular(path) as file:
            yield from from_json_lines(file)

    return ShardFormat(".jsonl", write, read)


def parquet() -> ShardFormat:
    """One row an image; `boxes` is a list of structs, null where `error` is not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    corners = ("topX", "topY", "bottomX", "bottomY")
    box = pa.struct([("label", pa.string()), ("score", pa.float64()), *((corner, pa.float64()) for corner in corners)])
    schema = pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("image_id", pa.int64(), nullable=False),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("boxes", pa.list_(box)),
            ("error", pa.string()),
        ]
    )

    def flat(found: dict[str, Any]) -> dict[str, Any]:
        return {"label": found["label"], "score": found["score"], **found["box"]}

    def nested(found: dict[str, Any]) -> dict[str, Any]:
        return {
            "box": {corner: found[corner] for corner in corners},
            "label": found["label"],
            "score": found["score"],
        }

    def write(rows: Sequence[Row], file: BinaryIO) -> None:
        records = [{**vars(row), "boxes": None if row.boxes is None else [flat(b) for b in row.boxes]} for row in rows]
        pq.write_table(pa.Table.from_pylist(records, schema), file, compression="zstd")

    def read(path: Path) -> Iterator[Row]:
        with open_regular(path) as file:
            records = pq.read_table(file).to_pylist()
        for record in records:
            boxes = record["boxes"]
            yield Row(**record | {"boxes": None if boxes is None else [nested(found) for found in boxes]})

    return ShardFormat(".parquet", write, read)
