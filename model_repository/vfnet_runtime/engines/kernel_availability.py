"""Whether kernels in Triton's language can be built and launched on this host, found out by launching one.

That language compiles a little C at its first launch: it wants a C compiler, Python's headers, the driver's library
where the loader finds it, and a folder to keep the results in. A host may lack each of them, and serves all the same.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import torch


def why_no_kernels(device: torch.device) -> str | None:
    """Launch a tiny kernel on `device`.

    Returns:
        None: it computed what it should. Else why not and what to install, to be continued by what happens now.
    """
    reason = _try_kernel(device)
    if isinstance(reason, OSError) and not _is_writable(_cache_folder()):
        # Compiled anew at each start, but compiled.
        folder = tempfile.mkdtemp(prefix="vfnet-kernels-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["TRITON_CACHE_DIR"] = folder
        reason = _try_kernel(device)
    return None if reason is None else explained(reason)


def _try_kernel(device: torch.device) -> Exception | None:
    try:
        from vfnet_runtime.engines.kernels.pointwise_kernel import add_and_rectify

        x = torch.tensor([-3.0, 2.0], device=device).view(1, 2, 1, 1)
        bias = torch.tensor([1.0, 1.0], device=device)
        found = add_and_rectify(x, bias, None, None).flatten().tolist()
    except Exception as error:  # a compiler, a loader, a driver: anything
        return error
    return None if found == [0.0, 3.0] else ArithmeticError(f"a kernel computed {found} instead of [0.0, 3.0]")


def explained(error: BaseException) -> str:
    """Why there are no kernels, and what to do: of what Triton's language (3.7.1) raises at its first launch."""
    words = str(error).strip().splitlines() or [""]
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "triton":
        return "Triton's language is not installed: `pip install triton`, in the version that PyTorch asks for"
    if "C compiler" in words[0]:
        return "there is no C compiler: `apt-get install gcc libc6-dev`, or name one in $CC"
    if isinstance(error, AssertionError) and "libcuda" in words[0]:
        return (
            "the loader does not know the driver's libcuda.so.1: run `ldconfig`, or name its folder in "
            "$TRITON_LIBCUDA_PATH"
        )
    if isinstance(error, subprocess.CalledProcessError):
        return _why_compiling_failed(error)
    if isinstance(error, OSError) and not _is_writable(_cache_folder()):
        return f"{_cache_folder()} cannot be written to ({error.strerror}): name another folder in $TRITON_CACHE_DIR"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} is not there: install it"
    return f"a first kernel failed, {type(error).__name__}: {words[0]}"


def _why_compiling_failed(error: subprocess.CalledProcessError) -> str:
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not headers.is_file():
        version = "{}.{}".format(*sys.version_info)
        return f"{headers} is not there: `apt-get install python{version}-dev`"
    command = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
    return f"`{command}` failed with exit code {error.returncode}: see its messages above"


def _cache_folder() -> Path:
    """Where Triton's language keeps what it compiled."""
    return Path(os.environ.get("TRITON_CACHE_DIR") or Path.home() / ".triton" / "cache")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
