"""A gateway with captured images to review. Nothing is behind it: reviewing asks no Triton."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from browser_page import running_browser
from captured_images import offer, picture, store_with
from gateway_process import running_gateway
from reviewers import BOXES, KEY, SIZE, Reviewed, Reviewer
from vfnet_client.free_ports import free_ports


@pytest.fixture(scope="module")
def review_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    folder = tmp_path_factory.mktemp("review")
    (port,) = free_ports(1)
    with running_gateway(
        f"grpc://127.0.0.1:{port}", folder, f"--capture={folder / 'store'}", environment={"VFNET_REVIEW_KEYS": KEY}
    ) as gateway:
        yield Reviewed(gateway, folder / "store")


@pytest.fixture
def review(review_gateway: Reviewed) -> Reviewed:
    """With three images that nobody has looked at."""
    for image_id in review_gateway.store.ids() if (review_gateway.place / "capture.json").exists() else ():
        image = review_gateway.store.find(image_id)
        assert image is not None
        with review_gateway.store.locked():
            review_gateway.store.remove(image_id, image.ending)
    now = time.time()
    offers = [
        offer(f"request-{number}", picture(40 + 60 * number, SIZE, "JPEG"), boxes, now + number)
        for number, boxes in enumerate(BOXES)
    ]
    store_with(review_gateway.place, offers)
    return review_gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture
def reviewer(browser: Browser, review: Reviewed) -> Iterator[Reviewer]:
    person = Reviewer(browser, review, "Ann")
    yield person
    person.close()


@pytest.fixture
def second_reviewer(browser: Browser, review: Reviewed) -> Iterator[Reviewer]:
    person = Reviewer(browser, review, "Bob")
    yield person
    person.close()
