"""Take the documentation's pictures of the page: `python tests/gateway/page/take_screenshots.py http://127.0.0.1:5001`.

Of the sample, at a gateway that runs. Writes `ui.png` (a desk, light) and `ui_phone.png` (a phone, dark).
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from browser_page import CHROMIUM, CHROMIUM_OPTIONS

_DESK, _PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
_MOST_BYTES = 300_000


def main() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gateway", help="where it runs, such as http://127.0.0.1:5001")
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="where to write (default: docs)")
    arguments = parser.parse_args()
    address = f"{arguments.gateway.rstrip('/')}/ui/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        desk = browser.new_page(viewport=_DESK, color_scheme="light", reduced_motion="reduce")
        _write(_detected(desk, address).screenshot(full_page=True), arguments.folder / "ui.png")
        _write(_on_a_phone(browser, address), arguments.folder / "ui_phone.png")
        browser.close()


def _on_a_phone(browser: Browser, address: str) -> bytes:
    """From the picture down: what is above it is the same as on a desk."""
    context = browser.new_context(
        viewport=_PHONE, device_scale_factor=2, is_mobile=True, has_touch=True, color_scheme="dark"
    )
    page = _detected(context.new_page(), address)
    page.locator(".stage").evaluate("stage => scrollTo(0, stage.getBoundingClientRect().top + scrollY - 12)")
    return page.screenshot()


def _detected(page: Page, address: str) -> Page:
    page.goto(address)
    _take_the_sample(page)  # warms the network up: the first time would not be typical
    page.get_by_role("button", name="Remove all").click()
    _take_the_sample(page)
    page.get_by_role("tab", name="curl").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return page


def _take_the_sample(page: Page) -> None:
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator(".card[data-state=done]")).to_have_count(1, timeout=60_000)
    expect(page.locator("#timings")).to_be_visible()


def _write(screenshot: bytes, path: Path) -> None:
    """As PNG with as many colours as fit."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in (None, 256, 128, 64):
        encoded = io.BytesIO()
        reduced = image if colours is None else image.quantize(colours, kmeans=3, dither=Image.Dither.NONE)
        reduced.save(encoded, "PNG", optimize=True)
        if len(encoded.getvalue()) <= _MOST_BYTES:
            break
    path.write_bytes(encoded.getvalue())
    print(f"{path}: {image.width} x {image.height}, {len(encoded.getvalue())} bytes")


if __name__ == "__main__":
    main()
