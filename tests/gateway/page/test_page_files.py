"""The page's files as the gateway serves them, without a browser."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute, Router

import vfnet_gateway.page
from browser_page import SAMPLE
from gateway_process import RunningGateway
from vfnet_client.exceptions import InvalidImageError, RequestError
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.metrics import GatewayMetrics
from vfnet_gateway.middleware import RequestMiddleware
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.ui_routes import CONTENT_TYPES, file_routes, picture_route

FOLDER = Path(vfnet_gateway.page.__file__).parent
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in CONTENT_TYPES)
JSON = {"content-type": "application/json; charset=utf-8"}
CAT = "https://example.com/cat.jpg"


class Markup(HTMLParser):
    """Every element of a document with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.fixture
def client(page_gateway: RunningGateway) -> Iterator[httpx.Client]:
    """A connection to the gateway that has the page."""
    with page_gateway.client() as opened:
        yield opened


def ask(table: list[BaseRoute], method: str, path: str, **request: Any) -> httpx.Response:
    """What a gateway with only these routes answers."""
    router = Router(table)
    app = RequestMiddleware(router, GatewayMetrics(), AccessLog(io.StringIO()))

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, **request)

    return asyncio.run(answer())


def test_ui_leads_to_its_folder_also_behind_a_prefix(client: httpx.Client) -> None:
    answer = client.get("/ui")
    assert (answer.status_code, answer.headers["location"]) == (307, "ui/")
    assert client.get("/ui/").headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_comes_whole_with_its_type_and_a_strict_policy(client: httpx.Client, path: Path) -> None:
    answer = client.get("/ui/" if path.name == "index.html" else f"/ui/{path.name}")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"] == CONTENT_TYPES[path.suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_browser_that_has_a_file_is_told_so_shortly(client: httpx.Client) -> None:
    first = client.get("/ui/main.js")
    again = client.get("/ui/main.js", headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/ui/main.js", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["__init__.py", "ui_routes.py", "index.html.bak", "..%2f__init__.py", "%2e%2e/x"])
def test_nothing_else_of_the_folder_is_served(client: httpx.Client, name: str) -> None:
    assert client.get(f"/ui/{name}").status_code == 404


def test_the_markup_has_no_script_or_style_of_its_own_and_asks_no_other_host() -> None:
    markup = Markup((FOLDER / "index.html").read_text())
    for tag, attributes in markup.elements:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            assert not re.match(r"(\w+:)?//", attributes.get(name) or "")


def test_what_scripts_and_labels_point_at_exists_once() -> None:
    elements = Markup((FOLDER / "index.html").read_text()).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    scripts = "".join(path.read_text() for path in FILES if path.suffix == ".js")
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', scripts))
    wanted |= {attributes["for"] for _, attributes in elements if attributes.get("for")}
    for name in ("aria-labelledby", "aria-describedby"):
        wanted |= {part for _, attributes in elements for part in (attributes.get(name) or "").split()}
    assert wanted <= set(ids)


def test_the_sample_is_small_and_an_operator_may_give_another() -> None:
    assert SAMPLE.stat().st_size <= 200_000
    assert ask(file_routes(sample=b"another"), "GET", "/ui/sample.png").content == b"another"


async def fetch_a_cat(url: str) -> bytes:
    if url != CAT:
        raise InvalidImageError("no such address")
    return b"<script>"


def check_key(authorization: str | None) -> None:
    if authorization != "Bearer right":
        raise RequestError(401, "a key")


def ask_for_picture(**request: Any) -> httpx.Response:
    guarded: list[BaseRoute] = [picture_route(fetch_a_cat, check_key, BodyReader(GatewaySettings()))]
    headers = {"authorization": "Bearer right"} | request.pop("headers", {})
    return ask(guarded, "POST", "/ui/picture", headers=headers, **request)


def test_an_image_by_url_is_handed_to_the_page_as_bytes_only() -> None:
    answer = ask_for_picture(json={"url": CAT})
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (401, {"json": {"url": CAT}, "headers": {"authorization": "Bearer wrong"}}),
        (422, {"json": {"url": "https://example.com/dog.jpg"}}),
        (400, {"json": {"url": 1}}),
        (400, {"content": b"{", "headers": JSON}),
        (413, {"content": b" " * 20_000, "headers": JSON}),
        (415, {"content": b'{"url": "https://example.com/"}', "headers": {"content-type": "text/plain"}}),
    ],
)
def test_a_request_for_an_image_by_url_is_refused(status: int, request_: dict[str, Any]) -> None:
    answer = ask_for_picture(**request_)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_the_files_alone_bring_no_way_to_fetch() -> None:
    assert ask(file_routes(), "POST", "/ui/picture", json={"url": CAT}).status_code == 404
