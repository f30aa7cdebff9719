"""What a person changes of a checkpoint's own test settings: its scale, and which candidates survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.settings import LIMITS
from vfnet_runtime.architecture.config import VFNetConfig

_FIELDS = {
    "scale": ("preprocess", "img_scale"),
    "score_threshold": ("test", "score_threshold"),
    "nms_iou": ("test", "iou_threshold"),
    "max_detections": ("test", "max_per_img"),
    "nms_pre": ("test", "nms_pre"),
}
"""Where each stands in a `VFNetConfig`."""


@dataclass(frozen=True)
class DetectionSettings:
    """Of mmdet's test pipeline and `test_cfg`. None: the checkpoint's own."""

    scale: tuple[int, int] | None = None
    """Longest and shortest side in pixels an image is resized to fit, mmdet's `img_scale`."""
    score_threshold: float | None = None
    """No detection scores less, 0 to 1; a request can only raise it. mmdet's `score_thr`."""
    nms_iou: float | None = None
    """Of two boxes of a class that overlap more, the better one stays, 0 to 1."""
    max_detections: int | None = None
    """Of an image, mmdet's `max_per_img`."""
    nms_pre: int | None = None
    """Candidates of each pyramid level that go on to suppression."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DetectionSettings:
        """The inverse of `dataclasses.asdict`, by way of JSON. Raises TypeError: there are other fields."""
        scale = document.get("scale")
        return cls(**{**document, "scale": None if scale is None else tuple(scale)})

    def applied_to(self, config: VFNetConfig) -> VFNetConfig:
        """The same network with these settings.

        Raises:
            CheckpointError: one of them is beyond what is served.
        """
        self.check()
        for name, (part, field) in _FIELDS.items():
            value = getattr(self, name)
            if value is not None:
                config = replace(config, **{part: replace(getattr(config, part), **{field: value})})
        return config

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return any(value is not None for value in asdict(self).values())

    def __str__(self) -> str:
        """What is changed, in the words of the options, such as `scale 800x480, nms-pre 300`."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(
            f"{name.replace('_', '-')} {'x'.join(map(str, value)) if isinstance(value, tuple) else f'{value:g}'}"
            for name, value in given
            if value is not None
        )

    def check(self) -> None:
        """Raises CheckpointError: one of them is beyond what is served."""
        sides, counts = LIMITS["img_scale"], {"max_detections": "max_per_img", "nms_pre": "nms_pre"}
        if self.scale is not None and not all(side in sides for side in self.scale):
            raise CheckpointError(f"--scale {'x'.join(map(str, self.scale))}: each side may be {sides} pixels")
        for name, limit in counts.items():
            value = getattr(self, name)
            if value is not None and value not in LIMITS[limit]:
                raise CheckpointError(f"--{name.replace('_', '-')} {value}: may be {LIMITS[limit]}")
