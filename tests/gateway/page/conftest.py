"""The page in Debian's Chromium, at real gateways in front of a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, FilePayload

from browser_page import KEY, OpenPage, Visit, picture, running_browser
from gateway_process import RunningGateway, running_gateway
from triton_server import ServedRepository

FACTS_ARE_SHOWN = """async () => {
    const asked = performance.getEntriesByName(new URL("info", document.baseURI).href);
    const frame = () => new Promise(requestAnimationFrame);
    return asked.length > 0 && (await frame(), await frame(), true);
}"""
"""What the page asks of the gateway when it opens has come, and was drawn. To wait until the network was idle for half
a second would cost each test as much."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: Playwright's event loop would be in the way of other tests' own."""
    with running_browser() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens the page of a gateway. Afterwards nothing may have been complained of, nor other hosts asked."""
    visits: list[tuple[RunningGateway, Visit]] = []

    def open_it(gateway: RunningGateway, **options: Any) -> Visit:
        page = browser.new_context(**options).new_page()
        visit = Visit(page)
        visits.append((gateway, visit))
        page.set_default_timeout(30_000)
        visit.listen()
        page.goto(f"{gateway.address}/ui")
        page.wait_for_function(FACTS_ARE_SHOWN)
        return visit

    yield open_it
    for gateway, visit in visits:
        visit.page.context.close()
        assert visit.complaints == []
        assert {urlsplit(url).netloc for url in visit.requests} == {urlsplit(gateway.address).netloc}


@pytest.fixture(scope="session")
def page_gateway(server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """In front of the demonstration's network, with room for one body of two megabytes. Leave it as it is."""
    options = ["--max-body-bytes=2000000", "--max-held-bytes=2000000", "--queue-timeout=0.3", "--body-idle-timeout=60"]
    folder = tmp_path_factory.mktemp("page_gateway")
    manifest = server.repository / "vfnet_build.json"
    with running_gateway(server.grpc_url, folder, *options, f"--manifest={manifest}") as running:
        yield running


@pytest.fixture(scope="session")
def locked_gateway(server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One that asks for `KEY`."""
    folder = tmp_path_factory.mktemp("locked_gateway")
    with running_gateway(server.grpc_url, folder, environment={"VFNET_GATEWAY_KEYS": KEY}) as running:
        yield running


@pytest.fixture(scope="session")
def strip() -> FilePayload:
    """A strip of the sample: quick to detect in."""
    return picture("strip.png")
