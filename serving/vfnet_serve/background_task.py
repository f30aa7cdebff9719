"""Something that takes a while, done by a thread of its own beside the watch."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

from vfnet_client.exceptions import VFNetError
from vfnet_serve.installation import ServerError
from vfnet_serve.server_log import say

Result = TypeVar("Result")


class BackgroundTask(Generic[Result]):
    """Runs at once; whoever began it looks whether it is done, and whether it came to anything.

    Whatever is raised is kept, a full disk's OSError too: a task that has ended without an error did what it was
    begun for.

    Args:
        name: what is done, in the words of a message.
    """

    def __init__(self, name: str, run: Callable[[], Result]) -> None:
        self.name = name
        self.started = time.monotonic()
        self.result: Result | None = None
        """What `run` returned."""
        self.error: VFNetError | None = None
        """Why it did not."""
        self._work = run
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Whether it has ended, either way."""
        return not self._thread.is_alive()

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started

    def _run(self) -> None:
        try:
            self.result = self._work()
        except VFNetError as error:
            self.error = error
        except OSError as error:
            where = "" if error.filename is None else f": {error.filename}"
            self.error = ServerError(f"{self.name}: {error.strerror or error}{where}")
        except Exception as error:  # a fault of ours: said in full, and no success
            say(traceback.format_exc().rstrip(), "ERROR")
            self.error = ServerError(f"{self.name}: {type(error).__name__}: {error}")
