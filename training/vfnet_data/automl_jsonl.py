"""AzureML's AutoML JSONL: one image a line.

`{"image_url", "image_details": {"format", "width", "height"}, "label": [{"label", "topX", "topY", "bottomX", "bottomY",
"isCrowd"}]}`, coordinates as fractions; `image_details` and `isCrowd` may be left out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from vfnet_client.bounded_json import parse_json
from vfnet_data import values
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations, BoxRecord, ImageRecord
from vfnet_data.values import LONGEST_LINE, shown

_CORNERS = ("topX", "topY", "bottomX", "bottomY")


def read_automl_jsonl(path: Path, text: str, first: int = 1, within: str = "") -> Annotations:
    """Read the lines; blank ones are passed over. Images are numbered from `first`.

    Args:
        within: names the file in messages, where it is one of several.
    """
    problems = Problems()
    records: list[ImageRecord] = []
    for line_number, line in enumerate(io.StringIO(text, newline=None), 1):  # lines end as on any system
        if len(line) > LONGEST_LINE:
            problems.append(f"{within}line {line_number}: has over {LONGEST_LINE} characters")
        elif line.strip():
            record = _read_line(line, f"{within}line {line_number}", first + len(records), problems)
            if record is not None:
                records.append(record)
    folder = path.absolute().parent
    folders = (folder, folder.parent, folder / "images", folder.parent / "images")
    return Annotations(tuple(records), folders, normalised=True, problems=problems)


def _read_line(line: str, where: str, image_id: int, problems: list[str]) -> ImageRecord | None:
    try:
        entry = parse_json(line)
    except ValueError as error:
        problems.append(f"{where}: not JSON: {error}")
        return None
    if not values.is_object(entry):
        problems.append(f"{where}: is {shown(entry)}, not a JSON object")
        return None
    try:
        url = values.field("image_url", values.reference, entry.get("image_url"))
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None
    width, height = _read_size(entry.get("image_details"), where, problems)
    return ImageRecord(where, image_id, (url,), width, height, _read_boxes(entry.get("label"), where, problems))


def _read_size(details: object, where: str, problems: list[str]) -> tuple[int | None, int | None]:
    if details is None:
        return None, None
    if not values.is_object(details):
        problems.append(f"{where}: image_details is {shown(details)}, not a JSON object")
        return None, None
    sides: list[int | None] = []
    for name in ("width", "height"):
        try:
            sides.append(values.side_or_unknown(details.get(name)))
        except ValueError as error:
            problems.append(f"{where}: image_details.{name} {error}")
            sides.append(None)
    return sides[0], sides[1]


def _read_boxes(entries: object, where: str, problems: list[str]) -> tuple[BoxRecord, ...]:
    if not isinstance(entries, list):
        problems.append(f"{where}: label is {shown(entries)}, not a list of boxes ([] for an image without any)")
        return ()
    boxes = []
    for position, entry in enumerate(entries, 1):
        try:
            if not values.is_object(entry):
                raise ValueError(f"is {shown(entry)}, not a JSON object")
            boxes.append(_read_box(entry, f"box {position}"))
        except ValueError as error:
            problems.append(f"{where}: box {position}: {error}")
    return tuple(boxes)


def _read_box(entry: Mapping[str, object], where: str) -> BoxRecord:
    missing = [name for name in ("label", *_CORNERS) if name not in entry]
    if missing:
        also = "; it has a polygon: export boxes" if "polygon" in entry else ""
        raise ValueError(f"lacks {', '.join(missing)}{also}")
    label = values.field("label", values.label, entry["label"])
    crowd = values.field("isCrowd", values.crowd_flag, entry.get("isCrowd"))
    x1, y1, x2, y2 = (values.field(name, values.number, entry[name]) for name in _CORNERS)
    return BoxRecord(where, label, (x1, y1, x2, y2), crowd)
