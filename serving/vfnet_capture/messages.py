"""Between a gateway and its keeper: images by a pipe one way, lines of JSON back.

An image on the pipe is its head's length, the answer's and the picture's (4, 4 and 8 bytes, little endian), and the
three. The first message has the settings for a head, and nothing else.

Back come lists of JSON, one a line: `["kept", reasons]`, `["dropped", reason, n]`, `["removed", reason, n]`,
`["holds", images, bytes]`, `["trouble", sentence]`, `["well"]`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LENGTHS = struct.Struct("<IIQ")
KEPT, DROPPED, REMOVED, HOLDS, TROUBLE, WELL = "kept", "dropped", "removed", "holds", "trouble", "well"
BUSY, LOST, DISK_FULL, UNWRITABLE, NO_ROOM, UNREADABLE = (
    "busy", "lost", "disk_full", "unwritable", "no_room", "unreadable",
)  # fmt: skip
"""Why an image was not kept that should have been."""
DROP_REASONS = (BUSY, LOST, DISK_FULL, UNWRITABLE, NO_ROOM, UNREADABLE)


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that is to be kept."""

    picture: bytes
    detections: bytes
    """The `DETECTIONS` that it was answered with."""
    request: str
    deployment: str
    score_threshold: float | None
    reasons: tuple[str, ...]
    at: float
    """When it was answered, seconds since 1970."""
    answered_by: str | None = None
    checkpoint: str | None = None
    """See `CapturedImage`."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.picture) + len(self.detections)
