"""Where the Triton server is on this machine, and what its Python backend needs to start."""

from __future__ import annotations

import ctypes.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from vfnet_client.exceptions import VFNetError

CONTAINER = Path("/opt/tritonserver")
"""Where NVIDIA's server images have it."""


class ServerError(VFNetError):
    """The server cannot be started or has failed; the message says why and what to do."""


class StaleRepositoryError(ServerError):
    """A model cannot be loaded again, for its repository is another by now."""


class TritonLostError(ServerError):
    """The server has died, or has to end: started again it may serve."""


@dataclass(frozen=True)
class TritonInstallation:
    """A server binary with what surrounds it."""

    binary: Path
    python_backend: Path | None = None
    """Folder with the wheel's `libtriton_python.so`; None: the server finds its backends by itself."""
    python_stub: Path | None = None
    """The backend's process for the running Python version."""
    libraries: tuple[Path, ...] = ()

    def link_backends(self, directory: Path) -> list[str]:
        """Lay out a backend folder in `directory`; the server's arguments that name it."""
        if self.python_backend is None or self.python_stub is None:
            return []
        backend = directory / "backends" / "python"
        backend.mkdir(parents=True)
        for source in (*self.python_backend.glob("*.so"), *self.python_backend.glob("*.py"), self.python_stub):
            (backend / source.name).symlink_to(source)
        return [f"--backend-directory={backend.parent}"]

    def environment(self) -> dict[str, str]:
        """Variables the server process needs beside its parent's."""
        inherited = os.environ.get("LD_LIBRARY_PATH")
        libraries = [str(path) for path in self.libraries] + ([inherited] if inherited else [])
        executables = [str(Path(sys.prefix) / "bin"), os.environ.get("PATH", os.defpath)]
        # The stub takes the Python environment from the first `python3` on PATH.
        path = {"PATH": os.pathsep.join(executables)}
        return path | ({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})


def find_triton(folder: Path | None = None) -> TritonInstallation:
    """The server to run: `folder`, else $VFNET_TRITON, else a container's, else `triton/` in this environment.

    Args:
        folder: where nvidia-pytriton's wheel was installed with `pip install --no-deps --target`.

    Raises:
        ServerError: there is none, or it does not fit this Python.
    """
    named = folder or (Path(os.environ["VFNET_TRITON"]) if os.environ.get("VFNET_TRITON") else None)
    if named is None and (CONTAINER / "bin" / "tritonserver").is_file():
        return TritonInstallation(CONTAINER / "bin" / "tritonserver")
    return _from_wheel(named or Path(sys.prefix) / "triton")


def _from_wheel(folder: Path) -> TritonInstallation:
    server = folder / "pytriton" / "tritonserver"
    binary = server / "bin" / "tritonserver"
    if not binary.is_file():
        raise ServerError(
            f"no Triton server in {folder}: `make up` installs one, or "
            f"`pip install --no-deps --target {folder} nvidia-pytriton`"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        known = sorted(path.name for path in stub.parents[1].iterdir())
        raise ServerError(f"that Triton server has no Python backend for Python {version}, only for {', '.join(known)}")
    backend = server / "backends" / "python"
    libraries = [folder / "nvidia_pytriton.libs", *_libpython_folders(version)]
    return TritonInstallation(binary.resolve(), backend.resolve(), stub.resolve(), tuple(libraries))


def _libpython_folders(version: str) -> list[Path]:
    """Folders that hold this interpreter's shared library, which the stub links with.

    Raises:
        ServerError: this Python was built without one, and the system has none.
    """
    name = f"libpython{version}.so.1.0"
    candidates = [Path(sysconfig.get_config_var("LIBDIR") or "/"), Path(sys.base_prefix) / "lib"]
    found = [folder for folder in candidates if (folder / name).is_file()]
    if not found and ctypes.util.find_library(f"python{version}") is None:
        raise ServerError(
            f"{name} is not on this machine, and Triton's Python backend needs it: "
            f"on Debian and Ubuntu `apt-get install libpython{version}`, "
            "with pyenv build Python with PYTHON_CONFIGURE_OPTS=--enable-shared"
        )
    return found
