"""`fetch` gets a file whole or not at all, from servers that behave and servers that do not."""

from __future__ import annotations

import functools
import hashlib
import random
import socket
from pathlib import Path

import httpx
import pytest

from vfnet_model.checkpoints import download
from vfnet_model.checkpoints.download import ATTEMPTS, fetch
from vfnet_model.checkpoints.errors import DownloadError
from vfnet_model.checkpoints.stock import DEFAULT_STOCK

from .conftest import FileServer

CONTENT = random.Random(0).randbytes(5_000_000)
HASHED = f"vfnet-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture(params=[HASHED, "model.pth"], ids=["hash in the name", "no hash"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def get(server: FileServer, name: str, cache: Path) -> Path:
    return fetch(f"{server.url}/some/{name}?token=1", cache, progress=False, retry_delay=0.001)


def test_a_download_is_whole_and_leaves_nothing_half_written(server: FileServer, name: str, tmp_path: Path) -> None:
    server.content = CONTENT
    path = get(server, name, tmp_path)
    assert path.name == name
    assert path.is_relative_to(tmp_path / "checkpoints")
    assert path.read_bytes() == CONTENT
    assert not list(tmp_path.rglob("*.part"))


def test_a_cached_file_with_a_hash_is_not_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    assert get(server, HASHED, tmp_path) == get(server, HASHED, tmp_path)
    assert len(server.requests) == 1


def test_a_damaged_cached_file_is_replaced(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    get(server, HASHED, tmp_path).write_bytes(b"damaged")
    assert get(server, HASHED, tmp_path).read_bytes() == CONTENT


def test_a_cached_file_without_a_hash_is_kept_only_while_the_server_has_no_newer(
    server: FileServer, tmp_path: Path
) -> None:
    server.content, server.etag = CONTENT, '"1"'
    get(server, "model.pth", tmp_path)
    assert get(server, "model.pth", tmp_path).read_bytes() == CONTENT
    assert server.requests[1]["If-None-Match"] == '"1"'
    server.content, server.etag = b"newer", '"2"'
    assert get(server, "model.pth", tmp_path).read_bytes() == b"newer"


def test_a_cached_file_without_a_hash_serves_while_the_server_is_down(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = CONTENT
    first = get(server, "model.pth", tmp_path)
    server.statuses = [503] * ATTEMPTS
    assert fetch(f"{server.url}/some/model.pth?token=1", tmp_path, retry_delay=0.001) == first
    assert "using the copy fetched before" in capsys.readouterr().err


def test_files_of_one_name_from_two_addresses_are_kept_apart(server: FileServer, tmp_path: Path) -> None:
    server.content = b"first"
    first = fetch(f"{server.url}/a/model.pth", tmp_path, progress=False)
    server.content = b"second"
    second = fetch(f"{server.url}/b/model.pth", tmp_path, progress=False)
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "ranges ignored"])
def test_broken_connections_are_taken_up_again(server: FileServer, name: str, ranges: bool, tmp_path: Path) -> None:
    server.content, server.ranges, server.etag = CONTENT, ranges, '"1"'
    server.drop_after = [3_000_000, 1_500_000]
    assert get(server, name, tmp_path).read_bytes() == CONTENT
    asked = [headers.get("Range") for headers in server.requests]
    assert asked[0] is None
    assert asked[1] == "bytes=3000000-"
    assert len(asked) == 3


def test_without_hash_or_etag_a_broken_download_starts_afresh(server: FileServer, tmp_path: Path) -> None:
    server.content, server.drop_after = CONTENT, [3_000_000]
    assert get(server, "model.pth", tmp_path).read_bytes() == CONTENT
    assert all("Range" not in headers for headers in server.requests)


def test_an_interrupted_download_goes_on_in_the_next_run(server: FileServer, tmp_path: Path) -> None:
    server.content, server.drop_after = CONTENT, [2_000_000] + [0] * ATTEMPTS
    with pytest.raises(DownloadError, match="goes on where it stopped"):
        get(server, HASHED, tmp_path)
    server.drop_after, before = [], len(server.requests)
    assert get(server, HASHED, tmp_path).read_bytes() == CONTENT
    assert server.requests[before]["Range"] == "bytes=2000000-"


def test_a_partial_file_that_is_already_complete_is_used(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    part = tmp_path / "checkpoints" / (HASHED + ".part")
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert get(server, HASHED, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [2_000_000, 5_000_000, 6_000_000], ids=["shorter", "as long", "longer"])
def test_a_partial_file_of_something_else_is_thrown_away(server: FileServer, length: int, tmp_path: Path) -> None:
    server.content = CONTENT
    part = tmp_path / "checkpoints" / (HASHED + ".part")
    part.parent.mkdir()
    part.write_bytes(b"x" * length)
    assert get(server, HASHED, tmp_path).read_bytes() == CONTENT


def test_a_file_that_changes_between_two_parts_is_not_spliced(server: FileServer, tmp_path: Path) -> None:
    server.content, server.etag, server.drop_after = CONTENT, '"1"', [2_000_000] + [0] * ATTEMPTS
    with pytest.raises(DownloadError):
        get(server, "model.pth", tmp_path)
    server.content, server.etag, server.drop_after = CONTENT[::-1], '"2"', []
    assert get(server, "model.pth", tmp_path).read_bytes() == CONTENT[::-1]


def test_a_busy_server_is_asked_again(server: FileServer, name: str, tmp_path: Path) -> None:
    server.content, server.statuses = CONTENT, [503, 429, 500]
    assert get(server, name, tmp_path).read_bytes() == CONTENT


def test_a_wrong_hash_is_an_error_and_the_file_is_deleted(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    with pytest.raises(DownloadError) as caught:
        get(server, "vfnet-00000000.pth", tmp_path)
    assert f"should begin 00000000 by its name, but begins {hashlib.sha256(CONTENT).hexdigest()[:8]}" in str(
        caught.value
    )
    assert not [path for path in tmp_path.rglob("*.p*") if path.stat().st_size]


def test_missing_files_and_web_pages_are_called_that(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        get(server, HASHED, tmp_path)
    assert len(server.requests) == 1
    server.content, server.content_type = b"<html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="a web page instead of the file"):
        get(server, "model.pth", tmp_path)


def test_a_server_that_is_not_there_leads_to_other_ways(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/{DEFAULT_STOCK.file_name}"
        with pytest.raises(DownloadError) as caught:
            fetch(url, tmp_path, progress=False, retry_delay=0.001)
    message = str(caught.value)
    assert "the connection failed" in message
    assert "give a local file or another URL with --checkpoint" in message
    assert f"must keep its exact name, {DEFAULT_STOCK.file_name}" in message


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{HASHED}"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(url, tmp_path, progress=False, retry_delay=0.001)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "http://127.0.0.1/", "http://[", "ftp://127.0.0.1/a.pth"])
def test_an_address_that_is_none_for_a_file_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, progress=False)


def test_a_name_cannot_leave_the_cache(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    path = fetch(f"{server.url}/a/..%2F..%2F..%2Fescaped.pth", tmp_path / "cache", progress=False)
    assert path.is_relative_to(tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_named(server: FileServer, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(DownloadError, match=r"cannot be written: .*VFNET_CACHE_DIR"):
        get(server, HASHED, blocked)


def test_a_log_gets_plain_lines(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.content = CONTENT
    fetch(f"{server.url}/{HASHED}", tmp_path)
    assert capsys.readouterr().err.splitlines() == [f"{HASHED}: 0.0 of 5.0 MB", f"{HASHED}: 5.0 of 5.0 MB"]


def test_a_file_that_is_too_large_is_refused_before_and_while_it_comes(
    server: FileServer, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.content = CONTENT
    monkeypatch.setattr(download, "MAX_FILE", 1_000_000)
    with pytest.raises(DownloadError, match="it has 5,000,000 bytes; at most 1,000,000 are fetched"):
        get(server, name, tmp_path)
    server.tell_length = False
    with pytest.raises(DownloadError, match="it is longer than 1,000,000 bytes"):
        get(server, name, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1_200_000


def test_a_length_that_is_no_number_is_none(server: FileServer, tmp_path: Path) -> None:
    server.content, server.statuses = CONTENT, []
    server.headers = {"Content-Range": "bytes " + "9" * 5000 + "-1/" + "9" * 5000}
    server.force_status = 206
    with pytest.raises(DownloadError, match="another part of the file than asked for, 5 times in a row"):
        get(server, HASHED, tmp_path)


def test_redirects_end(server: FileServer, tmp_path: Path) -> None:
    server.headers, server.force_status = {"Location": "/again/model.pth"}, 302
    with pytest.raises(DownloadError, match="Exceeded maximum allowed redirects"):
        get(server, "model.pth", tmp_path)
    assert len(server.requests) == download.MAX_REDIRECTS + 1


def test_https_is_not_left_for_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://127.0.0.1/model.pth"})

    client = functools.partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr(download.httpx, "Client", client)
    with pytest.raises(DownloadError, match="it redirects from https to http"):
        fetch("https://127.0.0.1/model.pth", tmp_path, progress=False)
    assert asked == ["https://127.0.0.1/model.pth"]


def test_a_server_that_drips_is_given_up(server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.content, server.ranges = CONTENT, False
    monkeypatch.setattr(download, "LEAST_RATE", 10**9)
    ticks = iter(range(0, 10**6, 61))
    monkeypatch.setattr(download.time, "monotonic", lambda: float(next(ticks)))
    with pytest.raises(DownloadError, match=r"less than 1,000,000,000 bytes a second came for a minute"):
        get(server, "model.pth", tmp_path)
    assert len(server.requests) <= download.MAX_CONNECTIONS


@pytest.mark.parametrize("suffix", [".lock", ".part"])
def test_a_link_in_the_cache_is_not_written_through(server: FileServer, suffix: str, tmp_path: Path) -> None:
    server.content = CONTENT
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / (HASHED + suffix)).symlink_to(precious)
    with pytest.raises(DownloadError, match="cannot be written"):
        get(server, HASHED, tmp_path)
    assert precious.read_bytes() == b"kept"


@pytest.mark.parametrize("name", ["a%0Ab.pth", "a%1B%5B2J.pth", "%E2%80%AEa.pth", "%ED%A0%80.pth\n"])
def test_a_name_that_cannot_be_shown_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch(f"http://127.0.0.1:9/{name}", tmp_path, progress=False, retry_delay=0.001)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_a_proxy_that_is_not_spoken_to_is_named_unless_no_proxy_names_the_host(
    proxy: str, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = CONTENT
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("all_proxy", proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "elsewhere.example")
    with pytest.raises(
        DownloadError, match=r"does not speak HTTP \(socks5?\): name one that does, or put the host into"
    ):
        get(server, HASHED, tmp_path)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    assert get(server, HASHED, tmp_path).read_bytes() == CONTENT


def test_what_a_url_is_signed_with_is_not_shown(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT
    with pytest.raises(DownloadError) as failed:
        fetch(f"{server.url}/?sig=SECRET", tmp_path, progress=False)
    assert "SECRET" not in str(failed.value)
