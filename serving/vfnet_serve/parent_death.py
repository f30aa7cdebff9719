"""Child processes that do not outlive whoever started them, however that one ends.

usage: python parent_death.py [--traced] PARENT COMMAND...

Becomes COMMAND, which gets SIGTERM when the thread of the process PARENT that started it ends. A program of its own and
no `preexec_fn`, for that runs Python in a fork of all that the parent is: where the parent had called gRPC, whose
threads start again in a fork, one child of some hundreds aborted.

With `--traced` the command stops before its first instruction, for the thread that started it to trace: see
hidden_arguments.py. Where that is forbidden it ends with the code `MAY_NOT_BE_TRACED`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

MAY_NOT_BE_TRACED = 119
"""An exit code that none of the commands uses."""
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_PTRACE_TRACEME = 0  # <sys/ptrace.h>
_TRACED = "--traced"


def terminated_with_parent(command: Sequence[str], *, traced: bool = False) -> list[str]:
    """The command that does so, for a child of this process."""
    return [sys.executable, "-I", "-S", __file__, *([_TRACED] if traced else []), str(os.getpid()), *command]


def main(arguments: Sequence[str]) -> None:
    """Does not return."""
    is_traced = arguments[0] == _TRACED
    parent, *command = arguments[1:] if is_traced else arguments
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, which the command would inherit
        signal.signal(ignored, signal.SIG_DFL)
    if is_traced and libc.ptrace(_PTRACE_TRACEME, 0, None, None) != 0:
        sys.exit(MAY_NOT_BE_TRACED)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
