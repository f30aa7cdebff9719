"""What travels from `vfnet deploy --server` to `vfnet receive`, and how it is proven to come from who may deploy.

A checkpoint and words travel, no code: whoever has the secret chooses what is served, and runs nothing. The secret does
not travel. It signs each request with its time, a number that is used once, its words and the hash of its body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vfnet_client.atomic_files import write_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.exceptions import CommandError
from vfnet_client.model_names import check_model_name
from vfnet_deploy.errors import DeployError

SECRET_VARIABLE = "VFNET_DEPLOY_SECRET"
DEPLOY, ROLLBACK, DEPLOYMENTS = "deploy", "rollback", "deployments"
VERBS = (DEPLOY, ROLLBACK, DEPLOYMENTS)
CHECKPOINT, CLASSES, IMAGES = "checkpoint", "classes.txt", "images"
"""Names in the archive that is the body of `DEPLOY`."""
_FEWEST_CHARACTERS = 32
_MOST_SECRET_BYTES = 4096
_MOST_SECONDS_APART = 300.0
"""That the two machines' clocks may differ."""
_PREFIX = "x-vfnet-"
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORDS = ("engine", "precision", "architecture", "scale")
_NUMBERS = (
    "min-agreement", "max-slowdown", "spare-memory", "score-threshold", "nms-iou", "max-detections", "nms-pre",
)  # fmt: skip
_SWITCHES = ("keep", "beside", "accept-preprocessing", "json")


def read_secret(file: Path | None) -> bytes:
    """From a file that only its owner may read, or from `SECRET_VARIABLE`; never from a command line.

    Raises:
        CommandError: there is none, it is short enough to be guessed, or others may read it.
    """
    if file is None:
        text, where = os.environ.get(SECRET_VARIABLE, ""), f"the variable {SECRET_VARIABLE}"
        if not text:
            raise CommandError(
                f"who deploys from another machine proves it by a secret: put it into {where}, or name its file with "
                "--secret-file"
            )
    else:
        where = str(file)
        try:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise CommandError(f"{file} may be read by others than its owner: chmod 600 {file}")
            text = read_text(file, _MOST_SECRET_BYTES)
        except OSError as error:
            raise CommandError(f"the secret cannot be read from {file}: {error.strerror or error}") from error
    secret = text.strip().encode()
    if len(secret) < _FEWEST_CHARACTERS:
        raise CommandError(f"the secret in {where} has fewer than {_FEWEST_CHARACTERS} characters, and can be guessed")
    return secret


def make_secret(file: Path) -> bool:
    """Write one that nobody can guess, where there is no file yet; whether there was none.

    Raises:
        CommandError: it cannot be written.
    """
    if file.exists():
        return False
    try:
        write_inside(file, secrets.token_urlsafe(48).encode() + b"\n", mode=0o600)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror or error}") from error
    return True


@dataclass(frozen=True)
class RemoteRequest:
    """One command for a server on another machine."""

    verb: str
    options: Mapping[str, str | bool]
    """Of the command there, without dashes."""
    body_sha256: str = hashlib.sha256().hexdigest()
    seconds: float = field(default_factory=time.time)
    """When it was made, since 1970."""
    number: str = field(default_factory=lambda: secrets.token_hex(16))
    """Never used again."""

    def headers(self, secret: bytes) -> dict[str, str]:
        """Of the HTTP request that carries it."""
        fields = {
            "options": json.dumps(dict(self.options), sort_keys=True),
            "body-sha256": self.body_sha256,
            "seconds": f"{self.seconds:.3f}",
            "number": self.number,
        }
        signed = {**fields, "signature": _signature(secret, self.verb, fields)}
        return {f"{_PREFIX}{name}": value for name, value in signed.items()}

    @staticmethod
    def read(verb: str, headers: Mapping[str, str], secret: bytes) -> RemoteRequest:
        """
        Raises:
            PermissionError: it was not signed with this secret, or too long ago.
            DeployError: it asks for what cannot be asked for.
        """
        fields = {
            name: headers.get(f"{_PREFIX}{name}") or "" for name in ("options", "body-sha256", "seconds", "number")
        }
        given = headers.get(f"{_PREFIX}signature") or ""
        if not hmac.compare_digest(given.encode(), _signature(secret, verb, fields).encode()):
            raise PermissionError("the request is not signed with this server's secret")
        apart = abs(time.time() - float(fields["seconds"]))
        if apart > _MOST_SECONDS_APART:
            raise PermissionError(f"the clocks of the two machines differ by {apart:.0f} s: set them")
        options = json.loads(fields["options"])
        if verb not in VERBS or not isinstance(options, dict) or not _SHA256.fullmatch(fields["body-sha256"]):
            raise DeployError("the request is of another version of vfnet deploy")
        return RemoteRequest(verb, options, fields["body-sha256"], float(fields["seconds"]), fields["number"])

    def arguments(self) -> list[str]:
        """The command line there; no value can be taken for an option.

        Raises:
            DeployError: an option is not one that may be asked for from another machine.
        """
        found = []
        for name, value in self.options.items():
            if value is True and name in _SWITCHES:
                found.append(f"--{name}")
            elif isinstance(value, str) and _is_accepted(name, value):
                found.append(value if name == "model" else f"--{name}={value}")
            else:
                raise DeployError(f"--{name} {value} cannot be asked for from another machine")
        return found


class UsedNumbers:
    """So that nobody who has listened can send a request again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._since = time.time()
        self._lock = threading.Lock()

    def use(self, number: str, seconds: float) -> None:
        """Of a request that was made so many seconds after 1970.

        Raises:
            PermissionError: it was used before, or perhaps so, because it is older than this memory.
        """
        now = time.time()
        if seconds < self._since:
            raise PermissionError("the request is older than this vfnet receive: send it again")
        with self._lock:
            self._until = {each: until for each, until in self._until.items() if until > now}
            if number in self._until:
                raise PermissionError("the request was sent before")
            self._until[number] = now + 2 * _MOST_SECONDS_APART


def _is_accepted(name: str, value: str) -> bool:
    try:
        if name in ("name", "model"):
            check_model_name(value)
            return True
        if name in _NUMBERS:
            float(value)
            return True
    except ValueError:
        return False
    return name in _WORDS and _WORD.fullmatch(value) is not None and not value.startswith("-")


def _signature(secret: bytes, verb: str, fields: Mapping[str, str]) -> str:
    text = json.dumps([verb, sorted(fields.items())]).encode()
    return hmac.new(secret, text, hashlib.sha256).hexdigest()
