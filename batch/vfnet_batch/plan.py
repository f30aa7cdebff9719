"""The order of the input and the settings, fixed at the first start and checked at every other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vfnet_batch.entries import Entry, from_line, has_secrets, without_secrets
from vfnet_batch.errors import BatchError
from vfnet_batch.external_sort import sorted_lines
from vfnet_batch.inputs.source import InputSource
from vfnet_batch.ledger import Span
from vfnet_client.atomic_files import durable_file
from vfnet_client.bounded_files import read_text
from vfnet_client.safe_text import shown_reference

PLAN, INPUTS = "batch.json", "inputs.jsonl"
_MOST_STATE_BYTES = 64 << 20
_RELISTED = "inputs-now.jsonl"


@dataclass(frozen=True)
class Plan:
    """What a batch is to do. `inputs.jsonl` has a line an image, `batch.json` the rest."""

    folder: Path
    source: InputSource
    count: int
    has_secrets: bool = False
    """`inputs.jsonl` leaves out what its URLs are signed with: the input itself is read again for that."""

    def entries(self, spans: Iterable[Span]) -> Iterator[tuple[int, Entry]]:
        """Positions and entries of the spans, which are in order; read as they are taken."""
        with (self.folder / INPUTS).open(encoding="utf-8", newline="\n") as file:
            lines, position = self.source.lines() if self.has_secrets else iter(file), 0
            for span in spans:
                for _ in range(span.first - position):
                    next(lines)
                for position in range(span.first, span.end):
                    yield position, from_line(next(lines), position, self.source.root)
                position = span.end


def make_plan(folder: Path, source: InputSource, settings: dict[str, Any]) -> Plan:
    """List the input, and find that it is what the folder's batch began with; or begin one.

    Args:
        folder: of the output.
        settings: JSON values that the output depends on.

    Raises:
        BatchError: the folder holds something else, or a batch of another input or other settings; it says what
            differs.
    """
    path = folder / PLAN
    begun = _read(path)
    if begun is None:
        count, digest, left_out = _list(source, folder / INPUTS, folder)
        if count == 0:
            told = f"; {source.passed_over}" if source.passed_over else ""
            raise BatchError(f"{source.place} holds no image{told}")
        plan = {
            "input": shown_reference(source.place),
            "kind": source.kind,
            "images": count,
            "inputs_sha256": digest,
            "settings": settings,
        }
        with durable_file(path) as file:
            file.write(json.dumps(plan, indent=2, ensure_ascii=False).encode() + b"\n")
        return Plan(folder, source, count, left_out)
    differences = [
        f"{name} was {begun['settings'].get(name)!r} and is now {value!r}"
        for name, value in settings.items()
        if begun["settings"].get(name) != value
    ]
    left_out, place = False, shown_reference(source.place)
    if begun["input"] != place:
        differences.insert(0, f"the input was {begun['input']} and is now {place}")
    else:
        changes, left_out = _changes(folder, source, begun["inputs_sha256"])
        differences += changes
    if differences:
        raise BatchError(
            f"{folder} holds a batch that differs: {'; '.join(differences)}. "
            "Choose another --output, or remove that folder to begin anew"
        )
    return Plan(folder, source, begun["images"], left_out)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plan: dict[str, Any] = json.loads(read_text(path, _MOST_STATE_BYTES))
        _ = plan["input"], plan["images"], plan["inputs_sha256"], plan["settings"].items()
        return plan
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BatchError(f"{path} is not a batch's of this version; choose another --output") from error


def _list(source: InputSource, path: Path, scratch: Path) -> tuple[int, str, bool]:
    """Write the input's lines; their number and digest, and whether secrets were left out.

    Only of an input with an order of its own: such as a list, whose lines can be read again.
    """
    lines = source.lines()
    count, digest, left_out = 0, hashlib.sha256(), False
    with durable_file(path) as file:
        for line in lines if source.is_ordered else sorted_lines(lines, scratch):
            if source.is_ordered and has_secrets(line):
                line, left_out = without_secrets(line), True
            encoded = line.encode()
            file.write(encoded)
            digest.update(encoded)
            count += 1
    return count, digest.hexdigest(), left_out


def _changes(folder: Path, source: InputSource, digest: str) -> tuple[list[str], bool]:
    """What the input has now and had not, and the other way about; whether secrets were left out."""
    now = folder / _RELISTED
    try:
        _, found, left_out = _list(source, now, folder)
        if found == digest:
            return [], left_out
        with (folder / INPUTS).open(encoding="utf-8") as before, now.open(encoding="utf-8") as after:
            return (_ordered_changes if source.is_ordered else _sorted_changes)(before, after), left_out
    finally:
        with suppress(OSError):
            now.unlink()


def _ordered_changes(before: Iterable[str], after: Iterable[str]) -> list[str]:
    for number, (old, new) in enumerate(zip_longest(before, after), 1):
        if old != new:
            return [f"image {number} was {_shown(old)} and is now {_shown(new)}"]
    return ["the list of images has changed"]


def _sorted_changes(before: Iterator[str], after: Iterator[str]) -> list[str]:
    came, went, first_came, first_went = 0, 0, "", ""
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if old == new:
            old, new = next(before, None), next(after, None)
        elif old is None or (new is not None and new < old):
            came, first_came = came + 1, first_came or str(new)
            new = next(after, None)
        else:
            went, first_went = went + 1, first_went or old
            old = next(before, None)
    changes = [f"{came} images are new, the first {_shown(first_came)}"] if came else []
    return changes + ([f"{went} images are gone, the first {_shown(first_went)}"] if went else [])


def _shown(line: str | None) -> str:
    return "none" if line is None else from_line(line, 0, "").printable_name
