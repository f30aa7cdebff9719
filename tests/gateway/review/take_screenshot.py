"""Take the documentation's picture of the review page: `python tests/gateway/review/take_screenshot.py FILE`.

Of the page's own sample, as the demonstration checkpoint sees it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

from PIL import Image
from playwright.sync_api import sync_playwright

import vfnet_process
from browser_page import CHROMIUM, CHROMIUM_OPTIONS, SAMPLE
from captured_images import SURE, Box, offer, store_with
from gateway_process import running_gateway
from reviewers import KEY, Reviewed, Reviewer
from vfnet_client.free_ports import free_ports
from vfnet_model.checkpoints.demo import DEMO_CHECKPOINT
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector

_COLOURS = 128


def main() -> None:
    """Take it."""
    vfnet_process.may_serve = True
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        store_with(
            store,
            [
                offer("sample", SAMPLE.read_bytes(), _found()),
                *(offer(boxes=[("can", 0.97 + 0.005 * number, SURE[0][2])]) for number in range(6)),
            ],
        )
        server = f"grpc://127.0.0.1:{free_ports(1)[0]}"
        environment = {"VFNET_REVIEW_KEYS": KEY}
        with (
            running_gateway(server, Path(folder), f"--capture={store}", environment=environment) as gateway,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
            size = {"width": 1280, "height": 860}
            person = Reviewer(browser, Reviewed(gateway, store), "Ann", viewport=size, reduced_motion="reduce")
            person.page.locator("#frame").focus()
            person.page.keyboard.press(".")
            picture = person.page.screenshot(full_page=True)
            browser.close()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=_COLOURS).save(sys.argv[1], optimize=True)


def _found() -> list[Box]:
    detector = CheckpointDetector(DEMO_CHECKPOINT)
    found = detector.detect(SAMPLE)
    with Image.open(SAMPLE) as sample:
        width, height = sample.size
    return [
        (detector.classes[label], score, (x1 / width, y1 / height, x2 / width, y2 / height))
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]


if __name__ == "__main__":
    main()
