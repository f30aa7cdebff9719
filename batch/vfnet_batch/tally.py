"""What a batch has come to, counted as rows are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from vfnet_batch.rows import Row

_MOST_REASONS = 100
_OTHER = "other reasons"
_DETAILS = re.compile(r" ?\([^()]*\)")
"""Of one image only, such as its size."""


class Tally:
    """Counts that take the same memory after a million images as after a thousand."""

    def __init__(self) -> None:
        self.images = 0
        self.boxes: Counter[str] = Counter()
        """By label."""
        self.failures: Counter[str] = Counter()
        """By reason; the rarest last to come are counted together."""

    def add(self, rows: Iterable[Row]) -> None:
        """Count rows."""
        for row in rows:
            self.images += 1
            if row.boxes is None:
                reason = _DETAILS.sub("", str(row.error))
                is_known = reason in self.failures or len(self.failures) < _MOST_REASONS
                self.failures[reason if is_known else _OTHER] += 1
            else:
                self.boxes.update(box["label"] for box in row.boxes)

    @classmethod
    def from_json(cls, summary: dict[str, Any]) -> Tally:
        """From what `to_json` gave."""
        tally = cls()
        tally.images = summary["images"]
        tally.boxes.update(summary["boxes_per_class"])
        tally.failures.update(summary["failures"])
        return tally

    def to_json(self) -> dict[str, Any]:
        """For `summary.json`."""
        return {
            "images": self.images,
            "failed": self.failures.total(),
            "failures": dict(self.failures.most_common()),
            "boxes": self.boxes.total(),
            "boxes_per_class": dict(self.boxes.most_common()),
        }

    def to_text(self) -> str:
        """What a person reads."""
        lines = [f"{self.images} images, {self.boxes.total()} boxes"]
        width = max(map(len, self.boxes), default=0)
        lines += [f"  {label:<{width}}  {number}" for label, number in self.boxes.most_common()]
        if self.failures:
            lines.append(f"{self.failures.total()} images failed:")
            lines += [f"  {number} x {reason}" for reason, number in self.failures.most_common()]
        return "\n".join(lines)
