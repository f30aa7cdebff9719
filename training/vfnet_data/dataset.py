"""A detection data set in memory: what every reader returns, and training and evaluation take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vfnet_client.exceptions import VFNetError
from vfnet_data.problems import Problems
from vfnet_tiling.geometry import Tile

UNTRAINED = ("", "marked ignore", "less than a pixel wide or high", "of area 0")
"""Why MMDetection 2.28 trains on a box no more than on what is not annotated: `CocoDataset._parse_ann_info`."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and its ground truth, in the frame of the stored pixels (EXIF orientation ignored)."""

    path: Path
    image_id: int
    """Unique in its data set; COCO's own where the data has one."""
    width: int
    height: int
    """Of the stored image, in pixels."""
    boxes: npt.NDArray[np.float32]
    """[n, 4] x1 y1 x2 y2 in pixels."""
    labels: npt.NDArray[np.int64]
    """[n], indices into the data set's `classes`."""
    crowd: npt.NDArray[np.bool_]
    """[n]; a crowd box is ignored: neither trained on nor counted."""
    areas: npt.NDArray[np.float64] | None = None
    """[n] in square pixels, as the data states them (COCO: of the mask); None: those of the boxes."""
    untrained: npt.NDArray[np.uint8] | None = None
    """[n], indices into `UNTRAINED`: why MMDetection does not train on a box, 0 where it does; None: it does on all."""
    left_out: int = 0
    """How many more boxes are annotated, which make no sense."""
    tile: Tile | None = None
    """The part of the stored image that this is, where it is not all of it; `width`, `height` and `boxes` are its."""

    @property
    def object_areas(self) -> npt.NDArray[np.float64]:
        """[n] in square pixels: what COCO calls small, medium and large by."""
        if self.areas is not None:
            return self.areas
        corners = self.boxes.astype(np.float64)
        return np.asarray((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]), np.float64)


@dataclass(frozen=True)
class DetectionDataset:
    """Images in the order of their file, and the names their labels index."""

    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    category_ids: tuple[int, ...] = ()
    """COCO's ids of `classes`; left out, they count from 1."""
    notes: tuple[str, ...] = ()
    """What was read in another way than it is written, and what was left out, for the person whose data it is."""
    is_partial: bool = False
    """Whether images, boxes or categories were left out because they make no sense."""
    supercategories: tuple[str | None, ...] = ()
    """COCO's of each of `classes`, None where the data name none; left out, none has one."""

    @property
    def annotated_classes(self) -> frozenset[str]:
        """Those that a box has which counts: no crowd."""
        labels = {label for image in self.images for label in image.labels[~image.crowd].tolist()}
        return frozenset(self.classes[label] for label in labels)

    def __post_init__(self) -> None:
        if not self.category_ids:
            object.__setattr__(self, "category_ids", tuple(range(1, len(self.classes) + 1)))
        if len(self.category_ids) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes, but {len(self.category_ids)} category ids")
        if len(self.supercategories) not in (0, len(self.classes)):
            raise ValueError(f"{len(self.classes)} classes, but {len(self.supercategories)} supercategories")


class DatasetError(VFNetError):
    """A data set that cannot be used as it is. `problems` holds one sentence each: where, what, and what to do."""

    def __init__(self, source: Path, problems: Sequence[str], shown: int = 50, *, can_skip: bool = False) -> None:
        """
        Args:
            shown: so many are in the message.
            can_skip: the caller's command has --skip-invalid, and it would help.
        """
        found = problems if isinstance(problems, Problems) else Problems(problems)
        self.problems = tuple(found)
        self.can_skip = can_skip and not found.is_fatal
        lines = [f"  {problem}" for problem in self.problems[:shown]]
        if found.total > shown:
            lines.append(f"  ... and {found.total - shown} more")
        if self.can_skip:
            lines.append("--skip-invalid goes on without them")
        plural = "s" if found.total != 1 else ""
        super().__init__("\n".join([f"{source}: {found.total} problem{plural}", *lines]))
