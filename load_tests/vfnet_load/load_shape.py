"""A run's course as locust takes it. (Importing locust patches the standard library for gevent: not in a test.)"""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner

from vfnet_load.user_counts import users_at

_FASTEST_SPAWN = 100.0
_DEFAULT_SECONDS = 60


class LoadShape(LoadTestShape):
    """The chosen shape, then a pause in which the last requests end; `--max-requests` may cut it short."""

    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ended_at: float | None = None

    def reset_time(self) -> None:
        """See LoadTestShape."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._ended_at = None

    def tick(self) -> tuple[int, float] | None:
        """See LoadTestShape."""
        from vfnet_load.users import recorder

        assert self.runner is not None
        options: Any = self.runner.environment.parsed_options
        if not recorder.is_running:  # another number of users would break off what is being prepared
            self.reset_time()
        seconds = options.run_time or _DEFAULT_SECONDS
        now: float = self.get_run_time()  # type: ignore[no-untyped-call]
        full = 0 < options.max_requests <= len(recorder.records)
        if self._ended_at is None and (full or now >= seconds):
            self._ended_at = now
        if self._ended_at is None:
            users = users_at(options.shape, options.num_users or 1, now / seconds)
            return users, _FASTEST_SPAWN
        pause = now - self._ended_at
        least = 1.2 * WORKER_REPORT_INTERVAL if isinstance(self.runner, MasterRunner) else 0.0
        if pause >= least and (recorder.outstanding == 0 or pause > options.request_timeout + least):
            return None
        return 0, _FASTEST_SPAWN
