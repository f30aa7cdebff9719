"""deformable_convolution.c -> the library that `vfnet_detector` loads."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

SOURCE, LIBRARY = "deformable_convolution.c", "libdeformable_convolution.so"
_COMPILERS = ("cc", "gcc", "clang")
# No -march: the code asks the processor what it has, so that a repository can be built on another machine.
_FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-pthread")


def compile_deformable_convolution(directory: Path) -> str | None:
    """Compile the source in `directory` (`vfnet_detector/1`) to the library beside it.

    $CC names another compiler than `cc`.

    Returns:
        None, or why there is no library: OpenVINO's own deformable convolutions do, in more time.
    """
    compiler = _find_compiler()
    if compiler is None:
        return "there is no C compiler (Debian, Ubuntu: `apt-get install gcc libc6-dev`)"
    partial = directory / f".{LIBRARY}"
    command = [*compiler, *_FLAGS, "-o", str(partial), str(directory / SOURCE), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, errors="replace")
    except (OSError, subprocess.CalledProcessError) as error:
        partial.unlink(missing_ok=True)
        words = error.stderr.strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
        return f"{shlex.join(compiler)} cannot compile {SOURCE}: {words[0] if words else error}"
    partial.replace(directory / LIBRARY)
    return None


def _find_compiler() -> list[str] | None:
    if named := os.environ.get("CC"):
        return shlex.split(named)
    found = next((path for name in _COMPILERS if (path := shutil.which(name))), None)
    return None if found is None else [found]
