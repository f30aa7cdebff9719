"""Child processes that do not outlive whoever started them, however that one ends.

usage: python parent_death.py PARENT COMMAND...

Becomes COMMAND, which gets SIGTERM when the thread of the process PARENT that started it ends. A program of its own and
no `preexec_fn`, for that runs Python in a fork of all that the parent is: where the parent had called gRPC, whose
threads start again in a fork, one child of some hundreds aborted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def terminated_with_parent(command: Sequence[str]) -> list[str]:
    """The command that does so, for a child of this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: Sequence[str]) -> None:
    """Does not return."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, which the command would inherit
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
