"""Bearer keys: from the environment and from a file that may change while the gateway runs."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vfnet_client.exceptions import CommandError, RequestError

KEYS_VARIABLE = "VFNET_GATEWAY_KEYS"
"""Environment variable: keys separated by commas or white space."""
_LOOK_AT_THE_FILE_EVERY = 1.0


class KeyRing:
    """The keys that open the gateway; without any configured it is open.

    Args:
        keys: fixed ones.
        file: one a line, `#` begins a comment. An empty file opens nothing: it locks everybody out.
        say: takes a line for the log.

    Raises:
        CommandError: the file cannot be read.
    """

    def __init__(self, keys: Iterable[str], file: Path | None, say: Callable[[str], None]) -> None:
        self._fixed = [_digest(key.encode()) for key in keys]
        self._file, self._say = file, say
        self._from_file: list[bytes] = []
        self._version: tuple[int, int, int] | None = None
        self._looked_at = 0.0
        if file is not None:
            try:
                self._read(file)
            except (OSError, ValueError) as error:
                raise CommandError(f"cannot read the keys in {file}: {_reason(error)}") from error

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return self._file is None and not self._fixed

    def __len__(self) -> int:
        return len(self._fixed) + len(self._from_file)

    def check(self, authorization: str | None) -> None:
        """Let a request pass.

        Args:
            authorization: the header's value.

        Raises:
            RequestError: 401.
        """
        if self.is_open:
            return
        if time.monotonic() - self._looked_at > _LOOK_AT_THE_FILE_EVERY:
            self.reload()
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip().encode())
        # All are compared, and in constant time, so that the time says nothing about any.
        matches = [hmac.compare_digest(given, known) for known in (*self._fixed, *self._from_file)]
        if scheme.lower() != "bearer" or not any(matches):
            raise RequestError(401, "a valid key is needed: send it as Authorization: Bearer <key>")

    def reload(self) -> None:
        """Read the file again if it has changed. One that cannot be read leaves the keys as they were."""
        self._looked_at = time.monotonic()
        if self._file is None:
            return
        try:
            if _version(self._file) != self._version:
                self._read(self._file)
                self._say(f"read the keys anew: {len(self)} are valid")
        except (OSError, ValueError) as error:
            if self._version is not None:
                self._say(f"cannot read the keys in {self._file}, those known stay valid: {_reason(error)}")
            self._version = None

    def _read(self, file: Path) -> None:
        version = _version(file)
        lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
        self._from_file = [_digest(line.encode()) for line in lines if line]
        self._version = version


def keys_in(text: str) -> tuple[str, ...]:
    """The keys in the environment variable's value."""
    return tuple(text.replace(",", " ").split())


def _version(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(key: bytes) -> bytes:
    """Of one length for all keys, which comparing in constant time needs."""
    return hashlib.sha256(key).digest()


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror if isinstance(error, OSError) else "it is not UTF-8 text")
