"""Errors on the page: told where they belong, in the server's words, with what to do."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import FilePayload, Route, expect

from browser_page import KEY, OpenPage, Visit, picture
from gateway_process import RunningGateway
from waiting import eventually

pytestmark = pytest.mark.served


@contextmanager
def room_for_bodies_taken(gateway: RunningGateway) -> Iterator[None]:
    """Somebody else has sent all but the last byte of a body of two megabytes: all that the gateway may hold."""
    size = 2_000_000
    head = (
        f"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as other:
        other.sendall(head.encode() + b" " * (size - 1))  # what is only announced takes no room
        assert eventually(lambda: gateway.metric("vfnet_gateway_held_bytes") == size - 1)
        yield


def ask_for_more_patience(visit: Visit) -> None:
    """What is refused may be asked again after five seconds, not one: time enough to look at the page meanwhile."""

    def refuse_for_longer(route: Route) -> None:
        answer = route.fetch()
        longer = {"retry-after": "5"} if answer.status == 429 else {}
        route.fulfill(response=answer, headers=answer.headers | longer)

    visit.page.route("**/score", refuse_for_longer)


def test_a_bad_file_among_good_ones_is_told_on_its_card_and_costs_the_others_nothing(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit, bad = open_page(page_gateway), FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"no picture")
    visit.add(strip, bad, picture("last.jpg", "JPEG"))
    visit.wait_for("done", 2)
    card = visit.page.get_by_role("option", name="notes.txt")
    expect(card).to_contain_text("The picture could not be read: ")
    expect(card).to_contain_text("not an image")
    card.click()
    problem = visit.page.get_by_role("group", name="The picture could not be read")
    expect(problem).to_contain_text("not an image")
    expect(problem.get_by_role("button")).to_be_hidden()  # sending it again would change nothing
    expect(visit.page.locator("#detections")).to_be_hidden()
    assert visit.refused == [(422, "/score")]


def test_a_busy_server_is_told_with_a_countdown_and_asked_again(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(page_gateway)
    ask_for_more_patience(visit)
    with room_for_bodies_taken(page_gateway):
        visit.add(strip)
        visit.wait_for("failed")
        problem = visit.page.get_by_role("group", name="The server is busy")
        expect(problem).to_contain_text("the server is busy with other requests")
        expect(visit.page.locator("#status")).to_contain_text("The server is busy")
        expect(problem.get_by_role("button", name=re.compile(r"Try again in \d+ s"))).to_be_visible()
    assert visit.refused == [(429, "/score")]
    expect(visit.page.locator("#status")).to_have_text("strip.png can be sent again.", timeout=30_000)
    problem.get_by_role("button", name="Try again", exact=True).click()
    visit.wait_for("done")
    expect(problem).to_be_hidden()
    expect(visit.page.locator("#detections")).to_be_visible()


def test_before_the_countdown_ends_nothing_is_sent(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(page_gateway)
    ask_for_more_patience(visit)
    with room_for_bodies_taken(page_gateway):
        visit.add(strip)
        visit.wait_for("failed")
        button = visit.page.get_by_role("button", name=re.compile("Try again in"))
        expect(button).to_have_attribute("aria-disabled", "true")
        asked = len(visit.requests)
        button.dispatch_event("click")
        assert len(visit.requests) == asked


def test_too_large_a_picture_is_told_its_size(open_page: OpenPage, page_gateway: RunningGateway) -> None:
    visit = open_page(page_gateway)
    visit.add(FilePayload(name="large.bmp", mimeType="image/bmp", buffer=bytes(1_700_000)))
    visit.wait_for("failed")
    problem = visit.page.get_by_role("group", name="The picture is too large")
    expect(problem).to_contain_text("2000000 bytes")
    expect(problem).to_contain_text("1.7 MB")
    assert visit.refused == [(413, "/score")]


def test_without_a_network_it_says_so_and_works_again_with_one(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(page_gateway)
    visit.page.context.set_offline(True)
    visit.add(strip)
    visit.wait_for("failed")
    problem = visit.page.get_by_role("group", name="The server cannot be reached")
    expect(problem).to_be_visible()
    visit.page.context.set_offline(False)
    problem.get_by_role("button", name="Try again").click()
    visit.wait_for("done")


def test_a_key_is_asked_for_kept_for_the_tab_and_forgotten(
    open_page: OpenPage, locked_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(locked_gateway)
    page, key = visit.page, visit.page.get_by_label("Access key")
    expect(page.get_by_role("alert")).to_have_text("The server asks for a key.")
    visit.add(strip)
    visit.wait_for("failed")
    expect(page.get_by_role("group", name="The server asks for a key")).to_be_visible()

    key.fill("a-wrong-key")
    key.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The server does not accept this key.")
    expect(key).to_have_attribute("aria-invalid", "true")

    key.fill(KEY)
    key.press("Enter")
    visit.wait_for("done")
    expect(key).to_be_hidden()
    assert KEY in page.evaluate("JSON.stringify(sessionStorage)")
    assert KEY not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")

    page.get_by_role("tab", name="curl").click()
    expect(page.locator("#recipe")).to_contain_text("$VFNET_KEY")
    assert KEY not in page.content()

    page.get_by_role("button", name="Forget the access key").click()
    assert page.evaluate("sessionStorage.length") == 0
    assert {status for status, _ in visit.refused} == {401}


def test_an_address_is_fetched_by_the_gateway_and_refused_in_its_words(
    open_page: OpenPage, page_gateway: RunningGateway
) -> None:
    visit = open_page(page_gateway)
    address = visit.page.get_by_label("Address of a picture on the web")
    address.fill("cat.jpg")
    address.press("Enter")
    expect(visit.page.get_by_text("Write a whole address")).to_be_visible()
    address.fill("http://127.0.0.1:9/cat.jpg")
    address.press("Enter")
    visit.wait_for("failed")
    expect(visit.page.get_by_text("Write a whole address")).to_be_hidden()
    expect(visit.page.locator("#problem")).to_contain_text("public hosts only")
    assert (422, "/score") in visit.refused
