"""The page in Debian's Chromium: launching it, one visit, and small pictures to give it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Page, Request, Response, sync_playwright

import vfnet_gateway.page
from gateway_process import RunningGateway

KEY = "a-key-for-the-page"
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SAMPLE = Path(vfnet_gateway.page.__file__).with_name("sample.png")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium; a test is skipped where there is none, and fails in CI."""
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing")
        pytest.skip(f"needs {CHROMIUM}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        yield opened
        opened.close()


@dataclass
class Visit:
    """One page in a browser of its own, and what went over its network."""

    page: Page
    requests: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def add(self, *files: FilePayload) -> None:
        """Choose files."""
        self.page.locator("#files").set_input_files(list(files))

    def wait_for(self, state: str, count: int = 1) -> None:
        """Until so many pictures are `done` or `failed`."""
        self.page.locator(f".card[data-state={state}]").nth(count - 1).wait_for(timeout=60_000)

    def listen(self) -> None:
        """Note from now on what goes over the network and what the browser complains of."""
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._count)
        self.page.on("response", self._check)

    def _note(self, message: ConsoleMessage) -> None:
        # Chromium says so of every status from 400 up; `refused` has those.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def _count(self, request: Request) -> None:
        if not request.url.startswith(("blob:", "data:")):
            self.requests.append(request.url)

    def _check(self, response: Response) -> None:
        if response.status >= 400:
            self.refused.append((response.status, urlsplit(response.url).path))


class OpenPage(Protocol):
    """Opens the page of a gateway; `options` are those of Playwright's `new_context`."""

    def __call__(self, gateway: RunningGateway, **options: object) -> Visit: ...


def picture(name: str, image_format: str = "PNG", *, exif_orientation: int | None = None) -> FilePayload:
    """The sample's lower 720 x 96 pixels as a file."""
    encoded, exif = io.BytesIO(), Image.Exif()
    if exif_orientation is not None:
        exif[0x0112] = exif_orientation
    with Image.open(SAMPLE) as sample:
        sample.convert("RGB").crop((0, 200, 720, 296)).save(encoded, image_format, exif=exif)
    return FilePayload(name=name, mimeType="application/octet-stream", buffer=encoded.getvalue())
