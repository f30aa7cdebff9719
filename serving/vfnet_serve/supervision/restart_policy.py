"""When what has ended is started again, and when it is not any more."""

from __future__ import annotations

import random
from dataclasses import dataclass

SETTLED_SECONDS = 5.0
"""What was ready for so long has started well: what ended before does not count any more."""
MOST_FAILURES = 10
"""In a row. One that ends by itself, with a reason, counts as two: it tends to have the same reason again."""
_LONGEST_PAUSE = 30.0


@dataclass
class RestartPolicy:
    """Counts the failures of one process."""

    failures: int = 0
    proven: bool = False
    """Whether it was ever ready, as it is asked for now."""

    def started_well(self) -> None:
        """It was ready for `SETTLED_SECONDS`."""
        self.failures = 0

    def pause_after_end(self, by_itself: bool) -> float | None:
        """Seconds until the next start; None: there is no point in another.

        Args:
            by_itself: it ended with an exit code, and not by a signal.
        """
        if by_itself and not self.proven:
            return None  # whoever asked for it is told at once
        self.failures += 2 if by_itself else 1
        if self.failures > MOST_FAILURES:
            return None
        # None for the first one, then 0.5, 1, 2 ... seconds. With jitter: what falls together need not rise together.
        pause: float = 0.0 if self.failures == 1 else min(0.25 * 2 ** (self.failures - 1), _LONGEST_PAUSE)
        return pause * random.uniform(0.75, 1.25)
