"""The output folder: one training's, recognised when the same command comes again."""

from __future__ import annotations

import json
from pathlib import Path

from vfnet_client.atomic_files import remove_unfinished, write_inside
from vfnet_client.bounded_files import read_text
from vfnet_train.errors import FinetuneError

RUN_FILE = "run.json"
_MOST_STATE_BYTES = 64 << 20
_ABSENT = repr(None)
"""A setting that an earlier version had not, and that is not used."""
LAST_CHECKPOINT = "last.pth"
BEST_CHECKPOINT = "best.pth"


def claim_folder(folder: Path, identity: dict[str, str], kind: str = "training") -> None:
    """Make the folder this training's, or find that it already is.

    Args:
        identity: what makes the training what it is, as text by name.
        kind: what it is, if not a training.

    Raises:
        FinetuneError: it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FinetuneError(f"{folder} is a file; --output names a folder") from None
    path = folder / RUN_FILE
    if path.exists():
        _check_same(folder, identity, _read(path), kind)
        remove_unfinished(folder)
        return
    if any(not item.name.startswith(f".{RUN_FILE}") for item in folder.iterdir()):
        raise FinetuneError(f"{folder} is not empty, and no {kind} of this command; choose another --output")
    write_inside(path, json.dumps(identity, indent=2, ensure_ascii=False).encode() + b"\n")


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(read_text(path, _MOST_STATE_BYTES))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FinetuneError(f"{path} cannot be read; choose another --output")
    return found


def _check_same(folder: Path, wanted: dict[str, str], found: dict[str, str], kind: str) -> None:
    different = [
        f"{name.replace('_', ' ')} was {_short(found.get(name))} and is {_short(wanted.get(name))}"
        for name in dict.fromkeys((*wanted, *found))
        if wanted.get(name, _ABSENT) != found.get(name, _ABSENT)
    ]
    if different:
        raise FinetuneError(
            f"{folder} holds another {kind}: {'; '.join(different)}. Choose another --output, or remove that folder"
        )


def _short(value: str | None) -> str:
    text = "not set" if value is None else value
    return text if len(text) <= 60 else text[:57] + "..."
