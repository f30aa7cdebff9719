"""The images of annotation files, whose boxes do not matter here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vfnet_batch.inputs.finding import References
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_files import read_text, text_lines
from vfnet_client.bounded_json import parse_json
from vfnet_data import values
from vfnet_data.coco_json import read_categories, read_images
from vfnet_data.dataset import DatasetError
from vfnet_data.problems import Problems
from vfnet_data.values import LONGEST_LINE, MOST_BYTES

_MOST_PROBLEMS = 20
_LARGEST_ID = 2**63 - 1
"""Of the rows of a Parquet file."""


def automl_source(path: Path, images: Path | None, skip_invalid: bool) -> InputSource:
    """The `image_url` of every line of AzureML's JSONL, in their order. Lines are checked as they are read.

    Args:
        skip_invalid: leave out lines that name no image.
    """
    notes: list[str] = []

    def lines() -> Iterator[str]:
        folders = _folders(path, images)
        references, problems = References.moved(folders), Problems()
        for number, line in enumerate(text_lines(path, LONGEST_LINE), 1):
            if not line.strip():
                continue
            try:
                yield references.line(_image_url(line))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
            if not skip_invalid and len(problems) == _MOST_PROBLEMS:
                break
        _settle(path, problems, skip_invalid, notes)
        references.check(path, "It was read as AutoML JSONL, an image_url a line.")

    return InputSource("AutoML JSONL", str(path.absolute()), lines, notes=notes)


def coco_source(path: Path, images: Path | None, skip_invalid: bool) -> InputSource:
    """The `images` of COCO JSON, in their order, with their ids. Annotations may be there or not.

    Args:
        skip_invalid: leave out images and categories that make no sense.

    Raises:
        DatasetError: it is no COCO JSON, or ids or names in it make no sense.
    """
    problems = Problems()
    document = _document(path)
    categories = read_categories(document, problems) if "categories" in document else {}
    records = read_images(document, problems)
    del document  # its annotations may be large
    for image_id, record in list(records.items()):
        if abs(image_id) > _LARGEST_ID:
            problems.append(f"{record.where}: its id is beyond 2^63 - 1, which rows cannot hold")
            del records[image_id]
    notes: list[str] = []
    _settle(path, problems, skip_invalid, notes)

    def lines() -> Iterator[str]:
        references = References.moved(_folders(path, images))
        for image_id, record in records.items():
            yield references.line(record.references[0], image_id)
        references.check(path, "It was read as COCO JSON, a file_name an image.")

    return InputSource("COCO JSON", str(path.absolute()), lines, categories=categories, notes=notes)


def _settle(path: Path, problems: Problems, skip_invalid: bool, notes: list[str]) -> None:
    """Refuse what has problems, or note them."""
    if problems and not skip_invalid:
        raise DatasetError(path, problems, can_skip=True)
    notes[:] = [problems.left_out(str(path))] if problems else []


def _document(path: Path) -> Mapping[str, object]:
    try:
        document = parse_json(read_text(path, MOST_BYTES))
    except OSError as error:
        raise DatasetError(path, [str(error.strerror)]) from None
    except ValueError as error:
        raise DatasetError(path, [f"not JSON: {error}"]) from None
    if not values.is_object(document) or "images" not in document:
        raise DatasetError(path, ["not COCO JSON, which is an object with images"])
    return document


def _image_url(line: str) -> str:
    entry = parse_json(line)
    if not values.is_object(entry):
        raise ValueError(f"is {values.shown(entry)}, not a JSON object")
    url = entry.get("image_url")
    if not isinstance(url, str) or not url:
        raise ValueError(f"image_url is {values.shown(url)}, not the place of an image")
    return url


def _folders(path: Path, images: Path | None) -> list[Path]:
    if images is not None:
        return [images]
    folder = path.absolute().parent
    return [folder, folder / "images", folder.parent, folder.parent / "images"]
