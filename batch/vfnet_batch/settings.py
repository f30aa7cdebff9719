"""What a person chooses of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from vfnet_batch.fetch_settings import FetchSettings
from vfnet_client.commands.options import box_count, class_name, fraction
from vfnet_client.commands.settings_options import Count, Folder, Seconds
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.json_log import LOG_FORMATS
from vfnet_client.transport import DEFAULT_SERVER
from vfnet_tiling.tiling import Tiling

FORMATS = ("jsonl", "parquet", "coco", "csv")


@dataclass(frozen=True)
class ServerSettings:
    """The servers that are asked."""

    urls: tuple[str, ...] = (DEFAULT_SERVER,)
    timeout: float = 60.0
    retries: int = 3
    patience: Seconds = 600.0
    """How long to wait for servers that went away.

    Seconds that all of them may be away."""
    credentials: Credentials = field(default_factory=Credentials)
    model: str | None = None
    """The one to ask where a server has several."""


@dataclass(frozen=True)
class BatchSettings:
    """One batch. The options of `vfnet batch` are made of this."""

    input: str
    output: Folder
    """A new folder, or this batch's own to go on."""
    images: Annotated[Path, Path, "FOLDER"] | None = None
    """Where the images of a list or annotations are, if not near it."""
    column: Annotated[str, "NAME"] | None = None
    """Of a table: the heading or number of the one that names the images (default: found)."""
    skip_invalid: bool = False
    """Leave out entries of annotations that make no sense, and count them."""
    format: Annotated[str, FORMATS] = "jsonl"
    """Of the output."""
    draw_threshold: float | None = None
    """Of the boxes on annotated pictures; None makes no pictures."""
    score_threshold: Annotated[float, fraction, "T", "--threshold"] | None = None
    """Only boxes that score higher."""
    classes: tuple[Annotated[str, class_name, "CLASS"], ...] = ()
    """Only boxes of these: names or, where none is called so, numbers of classes."""
    max_detections: Annotated[int, box_count, "N"] | None = None
    """At most so many boxes of an image (default: as the model was built)."""
    nms_iou: Annotated[float, fraction, "IOU"] | None = None
    """Of two boxes of a class that overlap more, the better one stays (default: as the model was built)."""
    tiling: Tiling | None = None
    """Detect in tiles of each image, too; None: not."""
    concurrency: Count = 16
    """Images in flight, or tiles."""
    shard_images: int = 1000
    shard_seconds: Seconds = 30.0
    """A file is finished after so long, however few it holds.

    A shard is finished after so many images or seconds: what a kill costs at most."""
    log_format: Annotated[str, LOG_FORMATS] = "text"
    """Of what is said meanwhile: lines and a bar for people, or one JSON object a line."""
    fetching: FetchSettings = field(default_factory=FetchSettings)
    """Where images by URL may come from."""

    @property
    def options(self) -> DetectionOptions:
        """What is wanted of the detections."""
        return DetectionOptions.chosen(
            score_threshold=self.score_threshold,
            classes=self.classes or None,
            max_detections=self.max_detections,
            nms_iou=self.nms_iou,
        )

    def of_the_output(self, model: str | None) -> dict[str, Any]:
        """What the output depends on, to be the same whenever the batch goes on.

        Args:
            model: what identifies the weights, where that is known.
        """
        return {
            "format": self.format,
            "draw_threshold": self.draw_threshold,
            "score_threshold": self.score_threshold,
            "classes": list(self.classes) or None,
            "max_detections": self.max_detections,
            "nms_iou": self.nms_iou,
            "tiling": None if self.tiling is None else str(self.tiling),
            "column": self.column,
            "model": model,
            **self.fetching.to_json(),
        }
