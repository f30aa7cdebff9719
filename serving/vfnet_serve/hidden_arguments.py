"""Start a program with arguments that other accounts cannot read.

Every account may read a process's arguments (/proc/PID/cmdline), only its own account the variables it was started with
(/proc/PID/environ). So the program is started with `--option=` and with the value in a variable. It stops before its
first instruction, for it is traced until then, and its argument is pointed at the variable's text. From then on the
program reads the whole argument; what the kernel shows as its arguments never holds the value. The variable is taken
off the program's list, so that its own children do not inherit it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vfnet_runtime.proc_files import stat_fields
from vfnet_serve.parent_death import MAY_NOT_BE_TRACED, terminated_with_parent

_PTRACE_CONT, _PTRACE_DETACH = 7, 17  # <sys/ptrace.h>
_WALL = 0x40000000  # <linux/wait.h>: whichever kind of child it is
_POINTER = struct.Struct("@P")
_VARIABLE = "VFNET_ARGUMENT_"
_MOST_POINTERS = 100_000
"""Arguments and variables of a program; more means that this is not the list."""


class TracingForbiddenError(Exception):
    """This process may not trace its children (Yama, seccomp)."""


def start_with_hidden(
    command: Sequence[str], hidden: Mapping[str, str], environment: Mapping[str, str], **popen: Any
) -> subprocess.Popen[str]:
    """Start `command` followed by `--option=value` for each item of `hidden`; it ends with this thread.

    Only the calling thread may wait for the process before this returns.

    Args:
        hidden: option, dashes included, -> the value that nobody else is to see.
        popen: what `subprocess.Popen` takes besides.

    Raises:
        TracingForbiddenError: it cannot be hidden here; nothing was started.
    """
    variables = {f"{_VARIABLE}{i}": f"{option}={value}" for i, (option, value) in enumerate(hidden.items())}
    shown = [*command, *(f"{option}=" for option in hidden)]
    process: subprocess.Popen[str] = subprocess.Popen(
        terminated_with_parent(shown, traced=True), env={**environment, **variables}, **popen
    )
    try:
        if not _wait_for_exec(process):
            return process  # it has ended, and says why
        _point_at_variables(process.pid, len(command), list(variables))
        _ptrace(_PTRACE_DETACH, process.pid)
    except BaseException:
        if process.returncode is None:
            process.kill()
            process.wait()
        raise
    return process


def start_with_shown(
    command: Sequence[str], hidden: Mapping[str, str], environment: Mapping[str, str], **popen: Any
) -> subprocess.Popen[str]:
    """As `start_with_hidden`, where nothing can be hidden: the values stand among the arguments for all to read."""
    shown = [*command, *(f"{option}={value}" for option, value in hidden.items())]
    process: subprocess.Popen[str] = subprocess.Popen(terminated_with_parent(shown), env=dict(environment), **popen)
    return process


def _wait_for_exec(process: subprocess.Popen[str]) -> bool:
    """Until it stops as the command; False: it ended before."""
    while True:
        _, status = os.waitpid(process.pid, _WALL)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode == MAY_NOT_BE_TRACED:
                if process.stdout is not None:
                    process.stdout.close()
                raise TracingForbiddenError
            return False
        number = os.WSTOPSIG(status)
        if number == signal.SIGTRAP:
            return True
        _ptrace(_PTRACE_CONT, process.pid, number)  # a signal that came before: it gets it


def _point_at_variables(pid: int, first: int, variables: list[str]) -> None:
    """Let the arguments from `first` on be the texts after `NAME=` of these variables, and take those off the list."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:

        def read(address: int, size: int) -> bytes:
            memory.seek(address)
            return memory.read(size)

        def write(address: int, values: Sequence[int]) -> None:
            memory.seek(address)
            memory.write(b"".join(_POINTER.pack(value) for value in values))

        # As a program finds it: the number of arguments, their addresses, 0, those of the variables, 0.
        stack = _start_of_stack(pid)
        count = int.from_bytes(read(stack, 4), "little" if struct.pack("@H", 1)[0] else "big")
        arguments = stack + _POINTER.size
        listed = arguments + (count + 1) * _POINTER.size
        pointers = _read_pointers(read, listed)
        found = {
            name: position
            for position, pointer in enumerate(pointers)
            for name in variables
            if read(pointer, len(name) + 1) == f"{name}=".encode()
        }
        texts = [pointers[found[name]] + len(name) + 1 for name in variables]
        # The list must stay as long as it is, for what the loader reads stands behind it: another one takes the place.
        another = next(pointer for position, pointer in enumerate(pointers) if position not in found.values())
        write(arguments + first * _POINTER.size, texts)
        hidden = set(found.values())
        write(listed, [another if position in hidden else pointer for position, pointer in enumerate(pointers)])


def _read_pointers(read: Callable[[int, int], bytes], address: int) -> list[int]:
    """Up to the 0 that ends them."""
    pointers: list[int] = []
    while len(pointers) < _MOST_POINTERS:
        (pointer,) = _POINTER.unpack(read(address + len(pointers) * _POINTER.size, _POINTER.size))
        if pointer == 0:
            return pointers
        pointers.append(pointer)
    raise OSError("the started program's variables were not found")


def _start_of_stack(pid: int) -> int:
    status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat_fields(status)[28 - 3])  # `startstack`


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
