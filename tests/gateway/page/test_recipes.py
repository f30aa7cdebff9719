"""The exact request and response, to copy: what is copied does what the page did."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from browser_page import KEY, OpenPage, Visit
from gateway_process import RunningGateway

pytestmark = pytest.mark.served

AWKWARD_NAME = "a 'strange' \"name\" $HOME.png"


@pytest.fixture
def visit(open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload) -> Visit:
    """A page that shows the detections of the strip under an awkward name."""
    visit = open_page(page_gateway, permissions=["clipboard-read", "clipboard-write"])
    visit.add(FilePayload(name=AWKWARD_NAME, mimeType="image/png", buffer=strip["buffer"]))
    visit.wait_for("done")
    return visit


def copied(page: Page, tab: str) -> str:
    """What the copy button of a tab puts on the clipboard."""
    page.get_by_role("tab", name=tab, exact=True).click()
    page.get_by_role("button", name=f"Copy: {tab}", exact=True).click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def run(command: list[str], folder: Path, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_request_is_copied_whole_and_shown_short(visit: Visit, strip: FilePayload) -> None:
    with visit.page.expect_request("**/score") as sent:
        visit.add(strip)
    visit.wait_for("done", 2)
    body = copied(visit.page, "Request")
    assert body == sent.value.post_data
    assert base64.b64decode(json.loads(body)["input_data"]["data"][0]) == strip["buffer"]
    shown = visit.page.locator("#recipe").inner_text()
    assert len(shown) < 300
    assert "characters)" in shown


def test_the_response_is_copied_as_it_came(visit: Visit, strip: FilePayload) -> None:
    with visit.page.expect_response("**/score") as received:
        visit.add(strip)
    visit.wait_for("done", 2)
    assert copied(visit.page, "Response") == received.value.text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_curl_command_gets_the_same_response(visit: Visit, strip: FilePayload, tmp_path: Path, shell: str) -> None:
    (tmp_path / AWKWARD_NAME).write_bytes(strip["buffer"])
    answer = run([shell, "-c", copied(visit.page, "curl")], tmp_path, no_proxy="*")
    assert json.loads(answer) == json.loads(copied(visit.page, "Response"))


@pytest.mark.parametrize("tab", ["Python", "Python, our client"])
def test_the_python_code_finds_the_same_boxes(visit: Visit, strip: FilePayload, tmp_path: Path, tab: str) -> None:
    (tmp_path / AWKWARD_NAME).write_bytes(strip["buffer"])
    lines = run([sys.executable, "-c", copied(visit.page, tab)], tmp_path, no_proxy="*").splitlines()
    boxes = json.loads(copied(visit.page, "Response"))[0]["boxes"]
    assert [line.split()[:2] for line in lines] == [[box["label"], str(round(box["score"], 3))] for box in boxes]


@pytest.mark.parametrize("tab", ["Python", "Python, our client"])
def test_code_for_the_sample_behind_a_key_needs_no_file_and_holds_no_key(
    open_page: OpenPage, locked_gateway: RunningGateway, tmp_path: Path, tab: str
) -> None:
    visit = open_page(locked_gateway, permissions=["clipboard-read", "clipboard-write"])
    visit.page.get_by_label("Access key").fill(KEY)
    visit.page.get_by_role("button", name="Use the key").click()
    visit.page.get_by_role("button", name="Try the sample").click()
    visit.wait_for("done")
    code = copied(visit.page, tab)
    assert KEY not in code
    lines = run([sys.executable, "-c", code], tmp_path, VFNET_KEY=KEY, no_proxy="*").splitlines()
    assert len(lines) == len(json.loads(copied(visit.page, "Response"))[0]["boxes"]) > 0
