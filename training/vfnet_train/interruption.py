"""SIGINT and SIGTERM become a question the loop asks between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers the first signal; the second ends the process as it always would."""

    def __init__(self) -> None:
        self.signal_number = 0
        """0 until one has come."""

    def notice(self, number: int, _frame: FrameType | None) -> None:
        """The handler of the signals."""
        self.signal_number = number
        for each in SIGNALS:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def noticed_signals() -> Iterator[Interruption]:
    """Catch the signals within; where that is impossible (not in the main thread), nothing is caught."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.notice) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
