"""The ways for pictures to come in."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from browser_page import OpenPage
from gateway_process import RunningGateway, running_gateway
from triton_server import ServedRepository

pytestmark = pytest.mark.served

DROP = """([type, name, text]) => {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: 'image/png' }));
    const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    document.body.dispatchEvent(type === 'paste' ? new ClipboardEvent(type, options) : new DragEvent(type, options));
}"""


def test_pictures_are_dropped_and_pasted_anywhere(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit, text = open_page(page_gateway), base64.b64encode(strip["buffer"]).decode()
    visit.page.evaluate(DROP, ["drop", "dropped.png", text])
    visit.wait_for("done")
    visit.page.evaluate(DROP, ["paste", "pasted.png", text])
    visit.wait_for("done", 2)
    names = visit.page.locator(".card-name").all_inner_texts()
    assert names == ["dropped.png", "pasted.png"]
    visit.page.get_by_role("tab", name="curl").click()
    expect(visit.page.locator("#recipe-note")).to_have_text("Save the pasted picture as pasted.png first.")


def test_the_file_picker_opens_and_takes_several(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(page_gateway)
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Choose files").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files([strip, strip])
    visit.wait_for("done", 2)


def test_a_picture_is_taken_by_its_address(open_page: OpenPage, server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(server.grpc_url, tmp_path, "--allow-urls-to=127.0.0.1") as gateway:
        visit = open_page(gateway)
        url = f"{gateway.address}/ui/sample.png"
        visit.page.get_by_label("Address of a picture on the web").fill(url)
        visit.page.get_by_role("button", name="Detect").click()
        visit.wait_for("done")
        expect(visit.page.get_by_role("table", name="Detections")).to_be_visible()
        visit.page.get_by_role("tab", name="Request").click()
        expect(visit.page.locator("#recipe")).to_contain_text(url)
