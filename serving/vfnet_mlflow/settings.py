"""What a checkpoint says of detecting, beside the network's own files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vfnet_runtime.candidates import CandidateSettings

NETWORK = "network.xml"
"""OpenVINO's, its weights beside it; and, where it was compiled, the library of convolutions."""
SETTINGS = "settings.json"


@dataclass(frozen=True)
class FolderSettings:
    """What the configurations of a model repository say of the same checkpoint."""

    classes: tuple[str, ...]
    """Names of the labels."""
    precision: str
    """`f32`, `bf16` or `int8`."""
    img_scale: tuple[int, int]
    """Longest and shortest side in pixels that an image is resized to fit."""
    size_divisor: int
    """Both sides of a canvas are multiples of it."""
    strides: tuple[int, ...]
    point_offset: float
    nms_pre: int
    score_threshold: float
    iou_threshold: float
    max_per_img: int

    @property
    def candidates(self) -> CandidateSettings:
        """Of the step behind the network."""
        return CandidateSettings(self.strides, self.point_offset, self.nms_pre, self.score_threshold)

    def write(self, folder: Path) -> None:
        """Write into the folder of the network."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> FolderSettings:
        """What `write` wrote; whoever loads a model trusts its folder, which holds code.

        Raises:
            OSError, ValueError, TypeError, KeyError: nobody did.
        """
        fields = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        for name in ("classes", "img_scale", "strides"):
            fields[name] = tuple(fields[name])
        return cls(**fields)
