"""COCO's object detection JSON: `images`, `annotations` with `bbox` [x, y, width, height] in pixels, `categories`."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from math import isfinite, isnan
from pathlib import Path

from vfnet_client.bounded_json import parse_json
from vfnet_client.safe_text import printable_line
from vfnet_data import values
from vfnet_data.box_layouts import DECLARED
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations, BoxRecord, ImageRecord
from vfnet_data.values import shown

_LONGEST_SHOWN = 200


def read_coco_json(path: Path, text: str) -> Annotations:
    """Read the document. Categories come in the order of their ids, images in that of the file.

    What belongs to an image or a category that makes no sense is left out with it.
    """
    folder = path.absolute().parent
    folders = (folder, folder / "images", folder.parent, folder.parent / "images")
    problems = Problems()
    try:
        document = parse_json(text)
    except ValueError as error:
        problems.refuse(f"not JSON: {error}")
        return Annotations((), folders, problems=problems)
    if not values.is_object(document) or "images" not in document:
        problems.refuse("neither COCO JSON (an object with images) nor JSONL (image_url)")
        return Annotations((), folders, problems=problems)
    refused_images, refused_categories = set[object](), set[object]()
    categories = read_categories(document, problems, refused_categories)
    images = read_images(document, problems, refused_images)
    boxes: dict[int, list[BoxRecord]] = {image_id: [] for image_id in images}
    names = {category_id: name for name, category_id in categories.items()}
    for where, entry in _objects(document, "annotations", problems):
        try:
            image_id, category_id = entry.get("image_id"), entry.get("category_id")
            if not (type(image_id) is type(category_id) is int and image_id in boxes and category_id in names):
                image_id = values.field("image_id", values.identifier, image_id)
                category_id = values.field("category_id", values.identifier, category_id)
                if image_id not in boxes:
                    if image_id in refused_images:
                        continue
                    raise ValueError(f"image_id {image_id} is no image's")
                if category_id not in names:
                    if category_id in refused_categories:
                        problems.followers += 1
                        continue
                    raise ValueError(f"category_id {category_id} is no category's")
            boxes[image_id].append(_read_box(entry, names[category_id]))
        except ValueError as error:
            problems.append(f"{_named(where, entry)}: {error}")
    records = tuple(image._replace(boxes=tuple(boxes[image_id])) for image_id, image in images.items())
    supercategories = _read_supercategories(document, categories)
    return Annotations(
        records, folders, DECLARED, categories=categories, supercategories=supercategories, problems=problems
    )


def read_categories(
    document: Mapping[str, object], problems: Problems, refused: set[object] | None = None
) -> dict[str, int]:
    """The ids of the categories by name, in the order of the ids; what is wrong with them goes to `problems`.

    Args:
        refused: takes the ids of those that are left out.
    """
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
            _note_refused(entry, taken, refused)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _read_supercategories(document: Mapping[str, object], categories: Container[str]) -> dict[str, str]:
    """By the category's name, where there is one that is text. Nothing but an analysis of errors uses it."""
    entries = [entry for _, entry in _objects(document, "categories", Problems())]
    named = [(entry.get("name"), entry.get("supercategory")) for entry in entries]
    return {
        name: above for name, above in named if isinstance(name, str) and isinstance(above, str) and name in categories
    }


def read_images(
    document: Mapping[str, object], problems: Problems, refused: set[object] | None = None
) -> dict[int, ImageRecord]:
    """The images by id, without boxes; what is wrong with them goes to `problems`.

    Args:
        refused: takes the ids of those that are left out.
    """
    found: dict[int, ImageRecord] = {}
    for where, entry in _objects(document, "images", problems):
        try:
            image_id = values.field("id", values.identifier, entry.get("id"))
            if image_id in found:
                raise ValueError(f"a second image has the id {image_id}")
            name = values.field("file_name", values.reference, entry.get("file_name"))
            width, height = (
                values.field(side, values.side_or_unknown, entry.get(side)) for side in ("width", "height")
            )
            found[image_id] = ImageRecord(
                f"image {image_id} ({printable_line(name, _LONGEST_SHOWN)})", image_id, (name,), width, height, ()
            )
        except ValueError as error:
            problems.append(f"{_named(where, entry)}: {error}")
            _note_refused(entry, found, refused)
    return found


def _note_refused(entry: Mapping[str, object], known: Container[object], refused: set[object] | None) -> None:
    """Keep the id of what is left out, unless another has it."""
    entry_id = entry.get("id")
    if refused is not None and isinstance(entry_id, int | float | str) and entry_id not in known:
        refused.add(entry_id)


def _read_box(entry: Mapping[str, object], name: str) -> BoxRecord:
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox is {shown(bbox)}; expected is [x, y, width, height]")
    x, y, width, height = bbox
    # Finite numbers beyond doubt, as nearly all are, and there are millions.
    if not (type(x) is type(y) is type(width) is type(height) is float and isfinite(x + y + width + height)):
        x, y, width, height = (values.field("bbox", values.number, value) for value in bbox)
    crowd, ignored, area, entry_id = entry.get("iscrowd"), entry.get("ignore"), entry.get("area"), entry.get("id")
    return BoxRecord(
        f"annotation {entry_id}"[:80] if isinstance(entry_id, int | str) else "an annotation",
        name,
        (x, y, width, height),
        False if crowd == 0 and type(crowd) is int else values.field("iscrowd", values.crowd_flag, crowd),
        area if type(area) is float and isfinite(area) else _read_area(area),
        ignored is not None and values.field("ignore", values.crowd_flag, ignored),
    )


def _read_area(area: object) -> float | None:
    """None where it is left out, null or NaN, which pandas writes for what is not there."""
    is_missing = area is None or (isinstance(area, float) and isnan(area))
    return None if is_missing else values.field("area", values.number, area)


def _objects(
    document: Mapping[str, object], key: str, problems: Problems
) -> Iterator[tuple[str, Mapping[str, object]]]:
    entries = document.get(key)
    if not isinstance(entries, list):
        problems.refuse(f"{key} is {shown(entries)}, not a list")
        return
    for position, entry in enumerate(entries):
        if values.is_object(entry):
            yield f"{key}[{position}]", entry
        else:
            problems.append(f"{key}[{position}] is {shown(entry)}, not a JSON object")


def _named(where: str, entry: Mapping[str, object]) -> str:
    """With the entry's own id, by which a person would look for it."""
    return f"{where} (id {shown(entry['id'])})" if "id" in entry else where
