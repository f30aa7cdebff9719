"""Recognises what a person gives as INPUT."""

from __future__ import annotations

import glob
from pathlib import Path

from vfnet_batch.errors import BatchError
from vfnet_batch.inputs.folders import folder_source, pattern_source
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_files import is_regular
from vfnet_client.image_files import is_image_file
from vfnet_images.kinds import NAMES

_TABLES = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_LISTS = (".txt", ".lst")


def open_input(
    text: str, images: Path | None, column: str | None, excluded: Path, *, skip_invalid: bool = False
) -> InputSource:
    """The source that INPUT names.

    Args:
        text: a folder, a glob pattern, a `.csv` or `.tsv` table, a `.txt` list, AutoML `.jsonl`, COCO `.json`, an
            image, or a URL that fsspec knows.
        images: where the images of a list or of annotations are, if not near it.
        column: of a table, the one that names the images; a `.txt` is one, then.
        excluded: the output's folder, which is no input even inside one.
        skip_invalid: leave out entries of annotations that make no sense, instead of refusing all.

    Raises:
        BatchError: there is no such thing, or it is none of these.
    """
    if not text:  # which Path takes for the working folder, and is a variable that is not set
        raise BatchError("INPUT is empty")
    if "://" in text or ("::" in text and not is_regular(Path(text))):
        from vfnet_batch.inputs.object_stores import url_source

        return url_source(text)
    path = Path(text)
    if path.is_dir():
        return folder_source(path, excluded)
    if path.is_file():
        return _file_source(path, images, column, skip_invalid)
    if glob.has_magic(text):
        return pattern_source(text, excluded)
    raise BatchError(f"there is no file or folder {text}")


def _file_source(path: Path, images: Path | None, column: str | None, skip_invalid: bool) -> InputSource:
    suffix = path.suffix.lower()
    if suffix in _TABLES or (suffix in _LISTS and column is not None):
        from vfnet_batch.inputs.tables import table_source

        return table_source(path, _TABLES.get(suffix, "\t"), column, images)
    if suffix in _LISTS:
        from vfnet_batch.inputs.lists import list_source

        return list_source(path, images)
    if suffix in _JSON_LINES:
        from vfnet_batch.inputs.annotations import automl_source

        return automl_source(path, images, skip_invalid)
    if suffix == ".json":
        from vfnet_batch.inputs.annotations import coco_source

        return coco_source(path, images, skip_invalid)
    if is_image_file(str(path), path.name):
        return pattern_source(glob.escape(str(path)))
    raise BatchError(
        f"cannot tell what {path} is: an INPUT file is a table (.csv, .tsv), a list (.txt), AutoML's .jsonl, "
        f"COCO's .json or an image ({NAMES})"
    )
