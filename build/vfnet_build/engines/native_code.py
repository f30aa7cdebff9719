"""convolutions.c -> the library that `vfnet_detector` loads."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import vfnet_runtime.engines.convolutions
from vfnet_client.atomic_files import write_inside
from vfnet_runtime.engines.convolutions.library import LIBRARY

SOURCE = "convolutions.c"
_SOURCES = Path(vfnet_runtime.engines.convolutions.__file__).parent
_COMPILERS = ("cc", "gcc", "clang")
COMPILED = "VFNET_COMPILED"
"""Variable that names a folder in which the library of these sources is compiled already: images without a compiler."""
# No -march: the code asks the processor what it has, so that a repository can be built on another machine.
_FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-pthread")


def compile_convolutions(directory: Path, sources: Path | None = None) -> str | None:
    """Compile the library into `directory` (`vfnet_detector/1`), where the network is.

    $CC names another compiler than `cc`. Where $VFNET_COMPILED has the library, it is copied.

    Args:
        sources: their folder; None: the runtime's own.

    Returns:
        None, or why there is no library: OpenVINO's own convolutions do, in more time.
    """
    ready = Path(os.environ.get(COMPILED, ""), LIBRARY)
    if sources is None and ready.is_absolute() and ready.is_file():
        write_inside(directory / LIBRARY, ready.read_bytes())
        return None
    compiler = _find_compiler()
    if compiler is None:
        return "there is no C compiler (Debian, Ubuntu: `apt-get install gcc libc6-dev`)"
    partial = directory / f".{LIBRARY}"
    command = [*compiler, *_FLAGS, "-o", str(partial), str((sources or _SOURCES) / SOURCE), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, errors="replace")
    except (OSError, subprocess.CalledProcessError) as error:
        partial.unlink(missing_ok=True)
        said = error.stderr.strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
        # Before an error in a header stand lines that say who includes it.
        words = next((line for line in said if "error:" in line), said[0] if said else str(error))
        return f"{shlex.join(compiler)} cannot compile {SOURCE}: {words}"
    partial.replace(directory / LIBRARY)
    return None


def _find_compiler() -> list[str] | None:
    if named := os.environ.get("CC"):
        return shlex.split(named)
    found = next((path for name in _COMPILERS if (path := shutil.which(name))), None)
    return None if found is None else [found]
