"""What is known of one server among several."""

from __future__ import annotations

import math
from time import monotonic

from vfnet_client.exceptions import VFNetClientError
from vfnet_client.transport import Transport

FULL_FOR_S = 0.1
"""A server that had no room is not asked for so long while another may have some."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Until a server that was left out is tried again: doubled each time that it is left out soon after it was back."""
FORGIVEN_AFTER_S = 30.0
"""That a server has served well in a row: what was before does not count any more."""


class PooledServer:
    """One server, the images that it has, and whether it is left out."""

    def __init__(self, url: str, transport: Transport) -> None:
        self.url, self.transport = url, transport
        self.in_flight = 0
        """Images sent to it and not answered."""
        self.left_out: VFNetClientError | None = None
        """Why it gets no images; None: it gets some."""
        self.is_gone = False
        """It is none of the servers any more."""
        self.failures = 0
        """Answers in a row that were errors of its own."""
        self.answered_at = -math.inf
        self._busy_since = self._full_until = self._back_at = -math.inf
        self._times_out = 0

    @property
    def is_in(self) -> bool:
        """Whether it gets images."""
        return self.left_out is None and not self.is_gone

    @property
    def is_full(self) -> bool:
        """Whether it has just had no room."""
        return monotonic() < self._full_until

    def silent_since(self) -> float | None:
        """Since when it has had images and answered nothing (monotonic seconds); None: it has none."""
        return max(self.answered_at, self._busy_since) if self.in_flight else None

    def begins(self) -> None:
        """It is sent one image more."""
        if self.in_flight == 0:
            self._busy_since = monotonic()
        self.in_flight += 1

    def ended(self) -> None:
        """One of its images is not waited for any more, whatever became of it."""
        self.in_flight -= 1

    def answered(self) -> float:
        """It has answered, be it that an image is bad; the seconds of silence before that."""
        now, since = monotonic(), self.silent_since()
        self.answered_at = now
        self.failures = 0
        return 0.0 if since is None else now - since

    def refused(self) -> None:
        """It has no room just now, which even one says that has stopped to compute."""
        self.failures = 0
        self._full_until = monotonic() + FULL_FOR_S

    def forget_silence(self) -> None:
        """Nobody was listening until now."""
        self._busy_since = monotonic()

    def leave_out(self, reason: VFNetClientError) -> float:
        """It gets no images from now on; seconds until it should be tried again."""
        if monotonic() - self._back_at > FORGIVEN_AFTER_S:
            self._times_out = 0
        self.left_out = reason
        self._times_out += 1
        return float(min(FIRST_PAUSE_S * 2.0 ** (self._times_out - 1), LONGEST_PAUSE_S))

    def let_in(self) -> None:
        """It gets images again."""
        self.left_out, self._back_at, self.failures = None, monotonic(), 0
        self.forget_silence()
