"""A gateway with captured images to review, and people at its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from browser_page import Visit
from captured_images import Box
from gateway_process import RunningGateway
from vfnet_capture import CapturedImage, CaptureStore, open_store

KEY = "a-reviewers-key"
SIZE = (400, 300)
# The last is the least certain.
BOXES: tuple[tuple[Box, ...], ...] = (
    (("can", 0.9, (0.1, 0.1, 0.4, 0.5)),),
    (("can", 0.8, (0.1, 0.1, 0.4, 0.5)), ("carton", 0.7, (0.5, 0.5, 0.9, 0.9))),
    (("can", 0.6, (0.1, 0.2, 0.4, 0.6)), ("bottle", 0.4, (0.5, 0.4, 0.75, 0.8))),
)


@dataclass(frozen=True)
class Reviewed:
    """A gateway and the store behind its review page."""

    gateway: RunningGateway
    place: Path

    @property
    def store(self) -> CaptureStore:
        return open_store(str(self.place))

    def images(self) -> list[CapturedImage]:
        """The least certain first."""
        return sorted(self.store.images(), key=lambda image: image.certainty)

    def client(self, key: str = KEY) -> httpx.Client:
        return self.gateway.client(headers={"authorization": f"Bearer {key}"})


class Reviewer:
    """A person at the page, in a browser of their own."""

    def __init__(self, browser: Browser, review: Reviewed, name: str, **options: Any) -> None:
        self.review = review
        self.page: Page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options).new_page()
        self.visit = Visit(self.page)
        self.page.set_default_timeout(20_000)
        self.visit.listen()
        self.page.goto(f"{review.gateway.address}/review")
        self.page.locator("#key-form:visible, #boxes .shape").first.wait_for()
        if self.page.locator("#key-form").is_visible():
            self.page.fill("#key", KEY)
            self.page.press("#key", "Enter")
        self.page.locator("#boxes .shape").first.wait_for()
        self.page.fill("#reviewer", name)
        self.page.locator("#reviewer").blur()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the screen, of fractions of the image."""
        box = self.page.locator("#boxes").bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        self.page.mouse.move(*self.at(*end))
        self.page.mouse.up()

    def saved(self) -> None:
        """Wait until all is saved."""
        self.page.wait_for_function("() => !document.getElementById('saved').textContent.includes('not saved')")

    def close(self) -> None:
        """Nothing may have been complained of."""
        self.page.context.close()
        assert self.visit.complaints == []
