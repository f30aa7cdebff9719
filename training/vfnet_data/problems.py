"""What is wrong with annotations, one printable sentence each, and no more of them than anybody reads."""

from __future__ import annotations

from collections.abc import Iterable

from vfnet_client.safe_text import printable_line

_MOST_KEPT = 10_000
_LONGEST = 600


class Problems(list[str]):
    """A list of sentences that stops growing; `total` counts on."""

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        super().__init__()
        self.omitted = 0
        self.extend(sentences)

    @property
    def total(self) -> int:
        """All that were found."""
        return len(self) + self.omitted

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
