"""What is wrong with annotations, one printable sentence each, and no more of them than anybody reads."""

from __future__ import annotations

from collections.abc import Iterable

from vfnet_client.safe_text import printable_line

_MOST_KEPT = 10_000
_LONGEST = 600


class Problems(list[str]):
    """A list of sentences that stops growing; `total` counts on.

    What they are about can be left out, but not where one of them is `fatal`.
    """

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        super().__init__()
        self.omitted = 0
        self.is_fatal = False
        self.followers = 0
        """Boxes that are left out with their category."""
        self.extend(sentences)

    @property
    def total(self) -> int:
        """All that were found."""
        return len(self) + self.omitted

    def left_out(self, source: str, shown: int = 20) -> str:
        """What to say where work goes on without what they are about: how many, and the first."""
        lines = [f"  {problem}" for problem in self[:shown]]
        if self.total > shown:
            lines.append(f"  ... and {self.total - shown:,} more")
        plural = "s" if self.total != 1 else ""
        if self.followers:
            lines.append(f"  with their categories {self.followers:,} annotations are left out")
        return "\n".join([f"{source}: {self.total:,} problem{plural}, left out as --skip-invalid says:", *lines])

    def refuse(self, sentence: str) -> None:
        """One more, of the whole, without which nothing is left."""
        self.is_fatal = True
        self.append(sentence)

    def append(self, sentence: str) -> None:
        """One more, made printable."""
        if len(self) < _MOST_KEPT:
            super().append(printable_line(sentence, _LONGEST))
        else:
            self.omitted += 1

    def extend(self, sentences: Iterable[str]) -> None:
        """Several more."""
        for sentence in sentences:
            self.append(sentence)
        self.omitted += getattr(sentences, "omitted", 0)
        self.is_fatal = self.is_fatal or getattr(sentences, "is_fatal", False)
