"""Admission to the ensemble: an image comes in when there is room for it, and waits in Triton's queue until then.

That queue is bounded and knows priorities (`dynamic_batching` in config.pbtxt): what exceeds it is refused by Triton at
once, before anybody has looked at the image.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vfnet_runtime.tickets import TicketLedger

_PAUSE_SECONDS = 0.002
"""Between two looks; the detector has the work of many such pauses when all tickets are out."""
_LOOKS_PER_QUESTION = 25


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
        looks = 0
        while (ticket := self.ledger.take(self.capacity)) is None:
            looks += 1
            if looks % _LOOKS_PER_QUESTION == 0 and is_cancelled():
                raise CallerGoneError
            time.sleep(_PAUSE_SECONDS)
        return ticket

    def leave(self, ticket: int) -> None:
        """The image will not go on."""
        self.ledger.give_back(ticket)
