"""Admission to the ensemble: an image comes in when there is room for it, and waits in Triton's queue until then.

That queue is bounded and knows priorities (`dynamic_batching` in config.pbtxt): what exceeds it is refused by Triton at
once, before anybody has looked at the image.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vfnet_runtime.tickets import TicketLedger

_LOOKS_WHILE_ONE_IS_INSIDE = 50
"""For a place, in the time that an image has one: a look costs 0.15 ms of a core whose caches the network fills."""
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.002, 0.05
"""Between two looks; the detector has the work of many such pauses when all tickets are out. Everyone who waits makes
the same pauses, so that nobody is served last for having waited long."""
_QUESTION_SECONDS = 0.2
"""Between two questions whether the caller has gone, which Triton is asked."""


class CallerGoneError(Exception):
    """The request was cancelled while it waited."""


class Admission:
    """Lets `capacity` images into the ensemble at once."""

    def __init__(self, ledger: TicketLedger, capacity: int) -> None:
        self.ledger, self.capacity = ledger, capacity

    def enter(self, is_cancelled: Callable[[], bool]) -> int:
        """Wait for a ticket.

        Raises:
            CallerGoneError: `is_cancelled` first.
        """
        asked = time.monotonic()
        while (ticket := self.ledger.take(self.capacity)) is None:
            if time.monotonic() - asked >= _QUESTION_SECONDS:
                asked = time.monotonic()
                if is_cancelled():
                    raise CallerGoneError
            time.sleep(self._pause())
        return ticket

    def leave(self, ticket: int) -> None:
        """The image will not go on."""
        self.ledger.give_back(ticket)

    def _pause(self) -> float:
        pause = self.ledger.slowest() / _LOOKS_WHILE_ONE_IS_INSIDE
        return min(max(pause, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
