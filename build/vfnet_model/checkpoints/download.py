"""Downloads a checkpoint once: resumable, verified, kept in a cache."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import httpx

from vfnet_client.atomic_files import locked_file, open_inside, write_inside
from vfnet_client.progress import BYTES, Progress
from vfnet_client.safe_text import is_printable_line, printable_line, shown_reference
from vfnet_client.url_images.connections import Proxies
from vfnet_model.checkpoints.errors import DownloadError
from vfnet_model.checkpoints.stock import DEFAULT_STOCK, stock_checkpoint_named
from vfnet_model.checkpoints.torch_file import MAX_FILE

ATTEMPTS = 5
"""In a row without a byte more than before."""
TIMEOUT = httpx.Timeout(30.0, connect=15.0)
"""Seconds without an answer or a byte."""
MAX_CONNECTIONS = 100
"""Per download, however much each of them brings."""
MAX_REDIRECTS = 5
LEAST_RATE = 1024
"""Bytes a second, over a minute: a server that drips is as good as one that is down."""

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


class _RetryableError(Exception):
    """A connection that broke or a server that was busy: worth another attempt."""


def fetch(url: str, cache_dir: Path, progress: bool = True, *, retry_delay: float = 1.0) -> Path:
    """Download `url` into `cache_dir/checkpoints`, unless it is there already.

    A name that ends like `-6879c318.pth` promises how the file's SHA-256 begins, and is held to it, in the cache
    too. Any other name is checked for its length, and the server is asked each time whether it has a newer file.
    An interrupted download goes on where it stopped. At most `MAX_FILE` bytes are fetched, over at most
    `MAX_CONNECTIONS` connections; https is not left for http on the way.

    Args:
        url: http or https.
        cache_dir: see `vfnet_client.cache`.
        progress: show a bar (on a terminal) or lines on stderr.
        retry_delay: seconds before the second attempt; doubles with each.

    Returns:
        The path of the complete file.

    Raises:
        DownloadError: with what can be done instead.
    """
    name = _file_name(url)
    promised = _HASH_IN_NAME.search(name)
    folder = cache_dir / "checkpoints"
    if promised is None:  # only the address tells such files apart
        folder = folder / hashlib.sha256(url.encode()).hexdigest()[:12]
    target = folder / name
    download = _Download(url, target, promised[1] if promised else None)
    if promised and download.is_intact(target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = Progress("", unit=BYTES, speaker=name, shown=progress, tells_ends=True, keeps_bar=True)
        with locked_file(target.with_name(name + ".lock")), shown:
            if not (promised and download.is_intact(target)):  # another process may just have finished
                _with_retries(download, shown, retry_delay)
    except OSError as error:
        raise DownloadError(
            f"{target} cannot be written: {error.strerror or error}. Free or choose another cache "
            "directory with VFNET_CACHE_DIR"
        ) from None
    return target


def _with_retries(download: _Download, shown: Progress, delay: float) -> None:
    furthest, failures = download.received, 0
    for connection in range(1, MAX_CONNECTIONS + 1):
        try:
            return download.attempt(shown)
        except _RetryableError as error:
            failures = 1 if download.received > furthest else failures + 1
            furthest = max(furthest, download.received)
            if connection == MAX_CONNECTIONS:
                raise download.failure(f"{error}, after {connection} connections") from None
            if failures >= ATTEMPTS:
                if download.reuse_unverified():
                    shown.say(f"{download.address} cannot be reached ({error}); using the copy fetched before")
                    return None
                raise download.failure(f"{error}, {ATTEMPTS} times in a row") from None
            shown.say(f"{error}; trying again")
            time.sleep(delay * 2 ** (failures - 1))
    return None


class _Download:
    """One URL on its way to one file, by way of `<name>.part` beside it."""

    def __init__(self, url: str, target: Path, promised_hash: str | None) -> None:
        self.url, self.target, self.promised_hash = url, target, promised_hash
        self.part = target.with_name(target.name + ".part")
        self.address = printable_line(shown_reference(url), 500)
        """For messages."""

    @property
    def received(self) -> int:
        """Bytes in the partial file."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def validator(self) -> str:
        """The server's ETag or date of what is here already: the partial file, else the complete one."""
        note = _validator_file(self.part if self.received else self.target)
        return note.read_text(encoding="utf-8", errors="replace").strip() if note.is_file() else ""

    def is_intact(self, path: Path) -> bool:
        """Whether the file exists and keeps its name's promise."""
        return path.is_file() and _sha256(path).startswith(self.promised_hash or "")

    def reuse_unverified(self) -> bool:
        """Whether a complete earlier copy without a hash in its name may stand in."""
        return self.promised_hash is None and self.target.is_file()

    def attempt(self, shown: Progress) -> None:
        """Ask once, from where the partial file ends."""
        try:
            with (
                self._client() as client,
                client.stream("GET", self.url, headers=self._headers()) as response,
            ):
                self._receive(response, shown)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise self.failure(printable_line(str(error))) from None
        except httpx.TransportError as error:
            reason = printable_line(str(error)) or type(error).__name__
            raise _RetryableError(f"the connection failed ({reason})") from None

    def _client(self) -> httpx.Client:
        """With the environment's proxies. One that does not speak HTTP fails only where it would be asked."""
        how: dict[str, Any] = {
            "timeout": TIMEOUT,
            "follow_redirects": True,
            "max_redirects": MAX_REDIRECTS,
            "event_hooks": {"request": [self._refuse_downgrade]},
        }
        try:
            return httpx.Client(**how)
        except (ImportError, ValueError):  # httpx's words for SOCKS without its package, and for other schemes
            parts = urlsplit(self.url)
            proxy = Proxies.of_the_environment().of(parts.scheme, parts.hostname or "", parts.port)
            if proxy is None:  # it is another's, or NO_PROXY names this host
                return httpx.Client(trust_env=False, verify=httpx.create_ssl_context(), **how)
            raise self.failure(
                f"this environment names a proxy for it that does not speak HTTP ({proxy.partition('://')[0]}): "
                "name one that does, or put the host into NO_PROXY"
            ) from None

    def _refuse_downgrade(self, request: httpx.Request) -> None:
        """Who asks over https wants nobody on the way to choose what is built."""
        if urlsplit(self.url).scheme == "https" and request.url.scheme != "https":
            raise httpx.UnsupportedProtocol(f"it redirects from https to {request.url.scheme}")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # lengths and ranges are those of the file itself
        validator, is_weak = self.validator, self.validator.startswith("W/")
        if self.received and self.promised_hash:
            headers["Range"] = f"bytes={self.received}-"
        elif self.received and validator and not is_weak:
            # Without a hash to check in the end, only the server knows that the rest belongs to the same file.
            headers |= {"Range": f"bytes={self.received}-", "If-Range": validator}
        elif not self.received and validator and self.reuse_unverified():
            headers["If-None-Match" if is_weak or validator.startswith('"') else "If-Modified-Since"] = validator
        return headers

    def _receive(self, response: httpx.Response, shown: Progress) -> None:
        status = response.status_code
        if status == 304 and self.target.is_file():
            return
        if status == 416:
            self._range_refused(response)
            return
        if status in (408, 425, 429) or status >= 500:
            raise _RetryableError(f"the server answered {status} {printable_line(response.reason_phrase, 60)}")
        if status not in (200, 206):
            raise self.failure(f"the server answered {status} {printable_line(response.reason_phrase, 60)}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise self.failure("the server answered with a web page instead of the file")
        start, total = self._extent(response)
        if total is not None and total > MAX_FILE:
            raise self.failure(f"it has {total:,} bytes; at most {MAX_FILE:,} are fetched")
        if not self.promised_hash:
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
            write_inside(_validator_file(self.part), validator[:1000].encode("ascii", "replace"))
        with open_inside(self.part, append=True) as file:
            file.truncate(start)
            shown.begin(start, total)
            self._write(response.iter_raw(), file, start, shown)
        if total is not None and self.received != total:
            if self.received > total:
                self.part.unlink()
            raise _RetryableError(f"the connection ended at {self.received:,} of {total:,} bytes")
        self._finish(resumed=start > 0)

    def _write(self, chunks: Iterator[bytes], file: BinaryIO, length: int, shown: Progress) -> None:
        """Append, as long as it comes at `LEAST_RATE` and is no longer than `MAX_FILE`."""
        since, at_least = time.monotonic(), length + 60 * LEAST_RATE
        for chunk in chunks:
            length += len(chunk)
            if length > MAX_FILE:
                raise self.failure(f"it is longer than {MAX_FILE:,} bytes")
            file.write(chunk)
            shown.advance(len(chunk))
            if time.monotonic() - since > 60:
                if length < at_least:
                    raise _RetryableError(f"less than {LEAST_RATE:,} bytes a second came for a minute")
                since, at_least = time.monotonic(), length + 60 * LEAST_RATE

    def _extent(self, response: httpx.Response) -> tuple[int, int | None]:
        """Where in the file the answer begins, and the file's length if told."""
        if response.status_code == 200:  # the whole file: first attempt, or a server that ignores ranges
            length = response.headers.get("Content-Length", "")
            return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        content_range = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", response.headers.get("Content-Range", "")
        )
        if content_range is None or int(content_range[1]) != self.received:
            self.part.unlink(missing_ok=True)
            raise _RetryableError("the server sent another part of the file than asked for")
        return int(content_range[1]), int(content_range[2]) if content_range[2] != "*" else None

    def _range_refused(self, response: httpx.Response) -> None:
        """416: nothing follows what is here. Either it is complete, or the file has become shorter."""
        if response.headers.get("Content-Range") == f"bytes */{self.received}" and self.is_intact(self.part):
            self._finish(resumed=True)
            return
        self.part.unlink(missing_ok=True)
        raise _RetryableError("the file on the server is not the one begun earlier")

    def _finish(self, resumed: bool) -> None:
        if not self.is_intact(self.part):
            found = _sha256(self.part)
            self.part.unlink()
            if resumed:  # the two parts may not have been of one file
                raise _RetryableError("the parts of the file do not fit together")
            raise self.failure(
                f"its SHA-256 should begin {self.promised_hash} by its name, but begins {found[:8]}; it was deleted"
            )
        if not self.promised_hash:
            _validator_file(self.part).replace(_validator_file(self.target))
        self.part.replace(self.target)

    def failure(self, reason: str) -> DownloadError:
        """The error for people."""
        name = self.target.name
        keep_name = (
            f"A file got elsewhere must keep its exact name, {name}: that is how it is recognised. "
            if stock_checkpoint_named(name)
            else f"(The published VFNet is recognised by its exact name, {DEFAULT_STOCK.file_name}.) "
        )
        host = urlsplit(self.url).netloc
        down = "That host is often down. " if host == urlsplit(DEFAULT_STOCK.url).netloc else ""
        return DownloadError(
            f"{self.address} could not be downloaded: {reason}. {down}Try again later (a download goes on where it "
            f"stopped), or give a local file or another URL with --checkpoint. {keep_name.strip()}"
        )


def _validator_file(path: Path) -> Path:
    return path.with_name(path.name + ".validator")


def _file_name(url: str) -> str:
    try:
        name = Path(unquote(urlsplit(url).path)).name
    except ValueError:
        name = ""
    if not name or not is_printable_line(name) or len(name) > 200:
        raise DownloadError(
            f"{printable_line(shown_reference(url))} names no file; expected is a URL that ends in one, such as "
            f"{DEFAULT_STOCK.url}"
        )
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
