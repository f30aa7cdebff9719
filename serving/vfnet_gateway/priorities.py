"""Who is served first: a person who waits for the answer, or a batch that has time."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from vfnet_client.exceptions import RequestError

HEADER = "x-vfnet-priority"


class Priority(IntEnum):
    """Triton's priority levels, as the repository's models are configured."""

    INTERACTIVE = 1
    BATCH = 2


def priority_of(headers: Mapping[str, str]) -> Priority:
    """What a request's headers say; interactive where they do not.

    Raises:
        RequestError: 400, another word.
    """
    word = headers.get(HEADER, Priority.INTERACTIVE.name)
    try:
        return Priority[word.upper()]
    except KeyError:
        known = " or ".join(priority.name.lower() for priority in Priority)
        raise RequestError(400, f"{HEADER} must be {known}, not {word[:100]!r}") from None
