"""What every reader of inputs hands on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vfnet_client.image_files import PassedOver


class Listing(Protocol):
    """Lists the input from its beginning."""

    def __call__(self) -> Iterator[str]:
        """Lines as `vfnet_batch.entries.to_line` makes them, read as they are taken.

        Raises:
            BatchError, OSError: the input cannot be listed.
        """
        ...


@dataclass(frozen=True)
class InputSource:
    """An input that was recognised, and not read yet."""

    kind: str
    """For people, such as `folder`."""
    place: str
    """The absolute path, pattern or URL."""
    lines: Listing
    root: str = ""
    """What a location begins with where a line gives a name only."""
    is_ordered: bool = True
    """The lines come in an order of their own; others are sorted."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """What is no image, counted whenever the input is listed."""
    categories: Mapping[str, int] = field(default_factory=dict)
    """COCO's ids by label, where the input declares them."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of it, complete when it was listed."""
