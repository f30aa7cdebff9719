"""Where the files of a store are: a folder of this machine, or an object store through fsspec."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

from vfnet_capture.layout import LOCK
from vfnet_client.atomic_files import durable_file, locked_file, make_folder_inside, write_inside
from vfnet_client.bounded_files import read_file
from vfnet_client.exceptions import CommandError

_LARGEST_FILE = 1 << 30
"""Bytes. A table of ten thousand records has a fiftieth of that."""
_LIST_OBJECTS_EVERY_S = 30.0
"""An object store is asked so often what others have changed: each listing is paid for."""


class Listed(NamedTuple):
    """What a listing says of a file."""

    size: int
    """Bytes."""
    version: object
    """Another one where the file was replaced."""


class Storage(Protocol):
    """Files by names such as `records/ID.json`. What fails raises OSError, FileNotFoundError among them."""

    url: str
    """The place as a person wrote it."""

    def read(self, name: str) -> bytes:
        """All of a file."""

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """A whole file, in the place of the one that is there.

        Args:
            durable: on the disk when this returns, so that a power cut takes nothing.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def listing(self, folder: str) -> dict[str, Listed]:
        """The files of a folder such as `records/`, by names without it; unfinished ones left out."""

    def remove_unfinished(self, folder: str) -> None:
        """Remove what killed writers left in a folder. Nobody writes meanwhile: the store is locked."""

    def stamp(self, folder: str) -> object:
        """Another where files of a folder were added, removed or replaced since; of an object store after a while."""

    def lock_file(self, name: str) -> Path:
        """A file of this machine that stands for the store among its processes."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep others from changing the store, as far as they are on this machine."""


class FolderStorage:
    """A folder. Everything is made where it is missing, and again where it is missing later."""

    def __init__(self, folder: Path) -> None:
        self.url, self.folder = str(folder), folder

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        return read_file(self.folder / name, _LARGEST_FILE)

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """See `Storage`."""
        path = self.folder / name
        if not path.parent.is_dir():
            make_folder_inside(path.parent)
        if not durable:
            write_inside(path, content, mode=0o600)  # pictures of people: nobody else's
            return
        with durable_file(path) as file:
            os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
            file.write(content)

    def remove(self, name: str) -> None:
        """See `Storage`."""
        (self.folder / name).unlink(missing_ok=True)

    def listing(self, folder: str) -> dict[str, Listed]:
        """See `Storage`."""
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder / folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed by another meanwhile
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found[entry.name] = Listed(status.st_size, (status.st_mtime_ns, status.st_ino))
        return found

    def remove_unfinished(self, folder: str) -> None:
        """See `Storage`."""
        with contextlib.suppress(FileNotFoundError):
            for path in (self.folder / folder).iterdir():
                if path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def stamp(self, folder: str) -> object:
        """See `Storage`: renaming and removing change the folder's time."""
        try:
            return (self.folder / folder).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def lock_file(self, name: str) -> Path:
        """See `Storage`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """See `Storage`."""
        with locked_file(self.lock_file(LOCK)):
            yield


class ObjectStorage:
    """A prefix of an object store, by whatever driver fsspec has for its URL.

    Credentials are found as the driver finds them: environment, configuration files, the machine's identity.

    Raises:
        CommandError: fsspec has no driver for it, or the driver needs a package.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import fsspec

            self._files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise CommandError(f"cannot open {url}: {error}") from error
        self._root = str(path).rstrip("/")

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        with _as_os_error():
            return bytes(self._files.cat_file(self._path(name)))

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:  # noqa: ARG002
        """See `Storage`; an object store's objects are durable and whole."""
        with _as_os_error():
            self._files.pipe_file(self._path(name), content)

    def remove(self, name: str) -> None:
        """See `Storage`."""
        with _as_os_error(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def listing(self, folder: str) -> dict[str, Listed]:
        """See `Storage`."""
        with _as_os_error():
            try:
                found: dict[str, Any] = self._files.find(self._path(folder.rstrip("/")), detail=True)
            except FileNotFoundError:
                return {}
        names = ((path.rpartition("/")[2], entry) for path, entry in found.items())
        return {
            name: Listed(
                int(entry["size"]), entry.get("ETag") or str(entry.get("LastModified") or entry.get("created"))
            )
            for name, entry in names
            if not name.startswith(".")
        }

    def remove_unfinished(self, folder: str) -> None:
        """See `Storage`; an object store shows whole objects only."""

    def stamp(self, folder: str) -> object:  # noqa: ARG002
        """See `Storage`."""
        return int(monotonic() / _LIST_OBJECTS_EVERY_S)

    def lock_file(self, name: str) -> Path:
        """See `Storage`. Others on other machines are not kept out: an object store has no locks."""
        known_by = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"vfnet-capture-{os.getuid()}-{known_by}{name}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """See `Storage`."""
        with locked_file(self.lock_file(LOCK)):
            yield

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def storage_at(place: str) -> Storage:
    """What is at a folder's path or a URL. Nothing is looked at or made yet.

    Raises:
        CommandError: nothing here opens such a URL.
    """
    if place.startswith("file://"):
        return FolderStorage(Path(place.removeprefix("file://")))
    return ObjectStorage(place) if "://" in place else FolderStorage(Path(place).absolute())


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Each driver has exceptions of its own beside Python's."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}"[:300]) from error
