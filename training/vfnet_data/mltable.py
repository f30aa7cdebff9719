"""AzureML's MLTable: a folder with a file of that name, which says where the JSON Lines are."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from vfnet_client.bounded_files import FileRefusedError, is_regular, read_text
from vfnet_client.bounded_yaml import parse_yaml
from vfnet_data import values
from vfnet_data.automl_jsonl import read_automl_jsonl
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations, ImageRecord
from vfnet_data.values import MOST_BYTES, shown

NAME = "MLTable"
_MOST_DEFINITION = 1 << 16
"""Bytes."""
_MOST_FILES = 1000
_JSON_LINES = ("*.jsonl", "*.ndjson")


def is_mltable(source: Path) -> bool:
    """Whether it is such a folder, or the file in it."""
    return is_regular(source / NAME) or (source.name == NAME and is_regular(source))


def read_mltable(source: Path) -> Annotations:
    """Read all files of lines that it names, one behind the other. Its transformations change no boxes, and are passed
    over.

    What lies in AzureML's storage is a problem that says so: nothing is fetched.
    """
    definition = source if source.name == NAME else source / NAME
    folder, problems = definition.absolute().parent, Problems()
    files = _files(definition, folder, problems)
    records: list[ImageRecord] = []
    folders: dict[Path, None] = {}
    for path in files:
        try:
            text = read_text(path, MOST_BYTES)
        except OSError as error:
            problems.refuse(f"{path}: {_reason(error)}")
            continue
        within = f"{path.name}, " if len(files) > 1 else ""
        found = read_automl_jsonl(path, text, len(records) + 1, within)
        records.extend(found.records)
        folders |= dict.fromkeys(found.folders)
        problems.extend(found.problems)
    return Annotations(tuple(records), tuple(folders) or (folder,), normalised=True, problems=problems)


def _files(definition: Path, folder: Path, problems: Problems) -> list[Path]:
    try:
        document = parse_yaml(read_text(definition, _MOST_DEFINITION))
    except OSError as error:
        problems.refuse(_reason(error))
        return []
    except ValueError as error:
        problems.refuse(f"{NAME} {error}")
        return []
    paths = document.get("paths") if values.is_object(document) else None
    if not isinstance(paths, list) or not paths:
        problems.refuse(f"{NAME} has no list of paths")
        return []
    found: dict[Path, None] = {}
    for entry in paths:
        try:
            found |= dict.fromkeys(_files_of(entry, folder))
        except ValueError as error:
            problems.refuse(f"{NAME}: {error}")
    return list(found)


def _files_of(entry: object, folder: Path) -> list[Path]:
    kind, place = next(iter(entry.items()), ("", None)) if values.is_object(entry) else ("", None)
    if kind not in ("file", "folder", "pattern") or not isinstance(place, str) or not place:
        raise ValueError(f"a path is {shown(entry)}; expected is file, folder or pattern")
    name = place.removeprefix("file://").replace("\\", "/")
    if "://" in name:
        raise ValueError(f"{shown(place, 200)} is not on this machine: download it (az ml data show gives its place)")
    if kind == "file":
        return [folder / name]
    patterns = _JSON_LINES if kind == "folder" else (name,)
    root = folder / name if kind == "folder" else folder
    try:
        found = sorted(path for pattern in patterns for path in islice(root.glob(pattern), _MOST_FILES))
    except (OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"the pattern {shown(place, 200)} cannot be looked for: {error}") from None
    if not found:
        raise ValueError(f"no file of JSON Lines is at {shown(place, 200)}")
    return found


def _reason(error: OSError) -> str:
    return f"it {error.strerror}" if isinstance(error, FileRefusedError) else str(error.strerror)
