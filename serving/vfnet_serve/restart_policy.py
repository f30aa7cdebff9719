"""When a server that was lost is started again, and when that is given up."""

from __future__ import annotations

import random

from vfnet_serve.installation import ServerError

_FIRST_SECONDS, _LONGEST_SECONDS = 0.25, 10.0
_BRIEF_SECONDS, _LONGEST_AFTER_SERVING = 30.0, 2.0


class TritonRestartPolicy:
    """A start that fails is tried again a number of times, a server that served always.

    So a request that ends the server keeps nobody else from being served, while a server that cannot start ends with
    its reason. Who waits longer each time, and not quite equally long, leaves a machine room to recover.
    """

    def __init__(self, most_failures: int) -> None:
        """
        Args:
            most_failures: starts in a row that may fail; one more is given up.
        """
        self.most_failures = most_failures
        self._failures = self._brief_lives = 0

    def seconds_after_serving(self, served: float) -> float:
        """Until the next start of a server that was ready for `served` seconds."""
        self._failures = 0
        self._brief_lives = self._brief_lives + 1 if served < _BRIEF_SECONDS else 0
        return _with_jitter(min(_FIRST_SECONDS * 2.0 ** (self._brief_lives - 1), _LONGEST_AFTER_SERVING))

    def seconds_after_failing(self, reason: ServerError) -> float:
        """Until the next start of a server that did not become ready.

        Raises:
            ServerError: it failed too often.
        """
        self._failures += 1
        if self._failures > self.most_failures:
            if self._failures == 1:
                raise reason
            raise ServerError(f"{reason}; Triton did not start {self._failures} times in a row") from reason
        return _with_jitter(min(_FIRST_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_SECONDS))


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)
