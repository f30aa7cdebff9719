"""The table that `make parity` ends with."""

from __future__ import annotations

from dataclasses import dataclass, field

from box_matching import Comparison


@dataclass
class ParityTable:
    """One row per image compared."""

    rows: list[tuple[str, Comparison]] = field(default_factory=list)

    def add(self, name: str, comparison: Comparison) -> None:
        """Note one image's comparison."""
        self.rows.append((name, comparison))

    def __str__(self) -> str:
        lines = [
            f"{'image':34} {'mmdet':>6} {'equal':>6} {'flip':>5} {'wrong':>6} {'max |score|':>12} {'max |px|':>10}"
        ]
        for name, c in self.rows:
            lines.append(
                f"{name:34} {c.expected:6} {c.matched:6} {len(c.flipped):6} {len(c.wrong):6}"
                f"{c.max_score_difference:12.1e} {c.max_corner_difference:10.1e}"
            )
        return "\n".join(lines)
