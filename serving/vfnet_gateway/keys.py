"""Bearer keys: from the environment and from a file that may change while the gateway runs."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vfnet_client.bounded_files import FileRefusedError, read_text
from vfnet_client.exceptions import CommandError, RequestError

KEYS_VARIABLE, REVIEW_KEYS_VARIABLE = "VFNET_GATEWAY_KEYS", "VFNET_REVIEW_KEYS"
"""Environment variables: keys separated by commas or white space, of callers and of reviewers."""
_LOOK_AT_THE_FILE_EVERY = 1.0
_KEY = re.compile(r"[\x21-\x7e]+")
_LONGEST_FILE = 1 << 20


class KeyRing:
    """The keys that open the gateway; without any configured it is open.

    Args:
        keys: fixed ones.
        file: one a line; a line that begins with `#` is a comment. An empty file opens nothing: it locks everybody out.
        say: takes a line for the log.

    Raises:
        CommandError: the file cannot be read, or has a line that is no key.
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
            authorization: the header's value; over gRPC the metadata's of the same name.

        Raises:
            RequestError: 401.
        """
        if self.is_open:
            return
        if time.monotonic() - self._looked_at > _LOOK_AT_THE_FILE_EVERY:
            self.reload()
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip().encode(errors="replace"))
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

    def others_may_read_the_file(self) -> bool:
        """Whether other accounts of this machine can read the keys, or write them."""
        try:
            return self._file is not None and bool(self._file.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP))
        except OSError:
            return False

    def _read(self, file: Path) -> None:
        version = _version(file)
        self._from_file = [_digest(key.encode()) for key in _keys_in_lines(read_text(file, _LONGEST_FILE))]
        self._version = version


def keys_in(text: str | None, variable: str = KEYS_VARIABLE) -> tuple[str, ...]:
    """The keys in the environment variable's value; none where it is not set.

    Raises:
        ValueError: it is set and holds no key, or what cannot be sent as one.
    """
    if text is None:
        return ()
    keys = tuple(text.replace(",", " ").split())
    if not keys:
        raise ValueError(f"{variable} is set and holds no key: set one, or unset it")
    wrong = next((position for position, key in enumerate(keys, 1) if not _KEY.fullmatch(key)), None)
    if wrong is not None:
        raise ValueError(f"key {wrong} in {variable} has characters outside printable ASCII: choose another")
    return keys


def _keys_in_lines(text: str) -> list[str]:
    """Raises `ValueError` that names the line and never the key."""
    keys = []
    for number, line in enumerate(text.split("\n"), 1):
        key = line.strip(" \t")
        if not key or key.startswith("#"):
            continue
        if not _KEY.fullmatch(key):
            hint = "a comment has to begin its line" if "#" in key else "a key is printable ASCII without spaces"
            raise ValueError(f"line {number} is no key: {hint}")
        if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":  # which no caller would send
            raise ValueError(f"line {number} has quotes around its key: write it without")
        keys.append(key)
    return keys


def _version(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(key: bytes) -> bytes:
    """Of one length for all keys, which comparing in constant time needs."""
    return hashlib.sha256(key).digest()


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileRefusedError):
        return f"it {error.strerror}"
    return str(error.strerror if isinstance(error, OSError) else error)
