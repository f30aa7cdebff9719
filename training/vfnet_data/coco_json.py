"""COCO's object detection JSON: `images`, `annotations` with `bbox` [x, y, width, height] in pixels, `categories`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vfnet_client.bounded_json import parse_json
from vfnet_client.safe_text import printable_line
from vfnet_data import values
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations, BoxRecord, ImageRecord
from vfnet_data.values import shown

_LONGEST_SHOWN = 200


def read_coco_json(path: Path, text: str) -> Annotations:
    """Read the document. Categories come in the order of their ids, images in that of the file."""
    folder = path.absolute().parent
    folders = (folder, folder / "images", folder.parent, folder.parent / "images")
    problems = Problems()
    try:
        document = parse_json(text)
    except ValueError as error:
        return Annotations((), folders, problems=Problems([f"not JSON: {error}"]))
    if not values.is_object(document) or "images" not in document:
        return Annotations(
            (), folders, problems=Problems(["neither COCO JSON (an object with images) nor JSONL (image_url)"])
        )
    categories = read_categories(document, problems)
    images = read_images(document, problems)
    boxes: dict[int, list[BoxRecord]] = {image_id: [] for image_id in images}
    names = {category_id: name for name, category_id in categories.items()}
    for where, entry in _objects(document, "annotations", problems):
        try:
            image_id, box = _read_annotation(entry, names)
            if image_id not in boxes:
                raise ValueError(f"image_id {image_id} is no image's")
            boxes[image_id].append(box)
        except ValueError as error:
            problems.append(f"{_named(where, entry)}: {error}")
    records = tuple(
        ImageRecord(image.where, image_id, image.references, image.width, image.height, tuple(boxes[image_id]))
        for image_id, image in images.items()
    )
    return Annotations(records, folders, categories=categories, problems=problems)


def read_categories(document: Mapping[str, object], problems: list[str]) -> dict[str, int]:
    """The ids of the categories by name, in the order of the ids; what is wrong with them goes to `problems`."""
    found: dict[str, int] = {}
    taken: set[int] = set()
    for where, entry in _objects(document, "categories", problems):
        try:
            category_id = values.field("id", values.identifier, entry.get("id"))
            name = values.field("name", values.label, entry.get("name"))
            if name in found:
                raise ValueError(f"a second category is called {shown(name)}")
            if category_id in taken:
                raise ValueError(f"a second category has the id {category_id}")
            found[name] = category_id
            taken.add(category_id)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return dict(sorted(found.items(), key=lambda item: item[1]))


def read_images(document: Mapping[str, object], problems: list[str]) -> dict[int, ImageRecord]:
    """The images by id, without boxes; what is wrong with them goes to `problems`."""
    found: dict[int, ImageRecord] = {}
    for where, entry in _objects(document, "images", problems):
        try:
            image_id = values.field("id", values.identifier, entry.get("id"))
            if image_id in found:
                raise ValueError(f"a second image has the id {image_id}")
            name = values.field("file_name", values.reference, entry.get("file_name"))
            width, height = (
                None if entry.get(side) is None else values.field(side, values.side, entry[side])
                for side in ("width", "height")
            )
            found[image_id] = ImageRecord(
                f"image {image_id} ({printable_line(name, _LONGEST_SHOWN)})", image_id, (name,), width, height, ()
            )
        except ValueError as error:
            problems.append(f"{_named(where, entry)}: {error}")
    return found


def _read_annotation(entry: Mapping[str, object], names: Mapping[int, str]) -> tuple[int, BoxRecord]:
    image_id = values.field("image_id", values.identifier, entry.get("image_id"))
    category_id = values.field("category_id", values.identifier, entry.get("category_id"))
    if category_id not in names:
        raise ValueError(f"category_id {category_id} is no category's")
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox is {shown(bbox)}; expected is [x, y, width, height]")
    x, y, width, height = (values.field("bbox", values.number, value) for value in bbox)
    crowd = values.field("iscrowd", values.crowd_flag, entry.get("iscrowd", 0))
    area = None if entry.get("area") is None else values.field("area", values.number, entry["area"])
    where = f"annotation {entry['id']}" if isinstance(entry.get("id"), int | str) else "an annotation"
    return image_id, BoxRecord(where[:80], names[category_id], (x, y, x + width, y + height), crowd, area)


def _objects(
    document: Mapping[str, object], key: str, problems: list[str]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    entries = document.get(key)
    if not isinstance(entries, list):
        problems.append(f"{key} is {shown(entries)}, not a list")
        return
    for position, entry in enumerate(entries):
        if values.is_object(entry):
            yield f"{key}[{position}]", entry
        else:
            problems.append(f"{key}[{position}] is {shown(entry)}, not a JSON object")


def _named(where: str, entry: Mapping[str, object]) -> str:
    """With the entry's own id, by which a person would look for it."""
    return f"{where} (id {shown(entry['id'])})" if "id" in entry else where
