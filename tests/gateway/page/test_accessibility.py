"""The page by keyboard alone, by its accessible names, on a phone, in the dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import FilePayload, Page, ViewportSize, expect

from browser_page import OpenPage, Visit, picture
from gateway_process import RunningGateway

pytestmark = pytest.mark.served

Scheme = Literal["light", "dark"]
PHONE = ViewportSize(width=360, height=740)
CONTRASTS = (Path(__file__).parent / "text_contrast.js").read_text()


def detected(open_page: OpenPage, gateway: RunningGateway, *files: FilePayload, **options: object) -> Visit:
    """A page that shows the detections of some files."""
    visit = open_page(gateway, **options)
    visit.add(*files)
    visit.wait_for("done", len(files))
    expect(visit.page.get_by_role("table", name="Detections")).to_be_visible()
    return visit


def focused_name(page: Page) -> str:
    name: str = page.evaluate(
        "() => { const at = document.activeElement;"
        " return (at.getAttribute('aria-label') ?? at.labels?.[0]?.innerText ?? at.id + ' ' + at.innerText).trim(); }"
    )
    return name


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on what has this name."""
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(focused_name(page))
        if name in seen[-1]:
            return
    pytest.fail(f"Tab never came to {name}: {seen}")


def test_all_of_it_works_by_keyboard_alone(open_page: OpenPage, page_gateway: RunningGateway) -> None:
    visit = open_page(page_gateway)
    page = visit.page
    tab_to(page, "Try the sample")
    page.keyboard.press("Enter")
    visit.wait_for("done")
    visit.add(picture("second.png"))
    visit.wait_for("done", 2)

    tab_to(page, "second.png")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="sample.png")).to_be_visible()
    page.keyboard.press("Delete")
    expect(page.get_by_role("option")).to_have_count(1)
    assert "second.png" in focused_name(page)
    expect(page.get_by_role("heading", name="second.png")).to_be_visible()
    expect(page.locator("#overlay .box").nth(1)).to_be_attached()
    expect(page.locator("#exchange")).to_be_visible()

    tab_to(page, "Least score")
    page.keyboard.press("Home")
    tab_to(page, ": ")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#overlay .box.active")).to_have_attribute("data-index", "1")
    page.keyboard.press("Space")
    expect(page.locator("#table tr.active button")).to_have_attribute("aria-pressed", "true")

    tab_to(page, "Response")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Request")).to_have_attribute("aria-selected", "true")
    tab_to(page, "Copy: Request")


def test_the_focus_leaves_the_page_and_is_seen_everywhere_before(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    page = detected(open_page, page_gateway, strip).page
    page.evaluate("document.activeElement.blur()")
    stops = 0
    while True:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops += 1
        assert stops < 40
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", focused_name(page)
    assert stops > 12


def test_landmarks_names_and_states_are_told(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    page = detected(open_page, page_gateway, strip).page
    expect(page.locator("body")).to_match_aria_snapshot("""
        - link "Skip to the result"
        - banner:
          - heading "VFNet" [level=1]
        - main:
          - region "Add pictures":
            - paragraph:
              - button "Choose files"
              - button "Try the sample"
            - textbox "Address of a picture on the web"
            - button "Detect"
          - status: /strip\\.png/
          - region "Pictures":
            - listbox "Pictures":
              - option /strip\\.png/ [selected]
          - region "strip.png":
            - img /listed in the table of detections/
          - region "Detections":
            - slider /Least score/
            - group "Classes"
            - status: /boxes shown/
            - table /Detections in the picture/
          - region "Where the time went":
            - table
          - region "Request and response":
            - tablist "Request and response":
              - tab "Response" [selected]
            - tabpanel "Response"
            - paragraph:
              - 'button "Copy: Response"'
        - contentinfo
    """)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload, scheme: Scheme
) -> None:
    bad = FilePayload(name="bad.txt", mimeType="text/plain", buffer=b"bad")
    visit = open_page(page_gateway, color_scheme=scheme, reduced_motion="reduce")
    visit.add(bad, strip)
    visit.wait_for("done")
    page = visit.page
    found = page.evaluate(CONTRASTS)  # of the problem
    page.get_by_role("option", name="strip.png").click()
    expect(page.get_by_role("table", name="Detections")).to_be_visible()
    found += page.evaluate(CONTRASTS)
    assert len(found) > 60
    assert [entry for entry in found if entry["contrast"] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(int(part) for part in re.findall(r"\d+", dark)) < 80) == (scheme == "dark")


def test_a_phone_needs_no_sideways_scrolling(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    long = FilePayload(name=f"{'very_long_name' * 8}.png", mimeType="image/png", buffer=strip["buffer"])
    visit = detected(open_page, page_gateway, long, picture("2.jpg", "JPEG"), strip, viewport=PHONE, has_touch=True)
    page = visit.page
    for tab in page.get_by_role("tab").all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = page.evaluate(
        "[...document.querySelectorAll('button, input, h1, h2, p, img')].filter(e => e.checkVisibility()"
        " && !e.closest('.strip, .unseen') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"
    )
    assert wide == []


def test_who_wants_no_motion_gets_none(open_page: OpenPage, page_gateway: RunningGateway) -> None:
    page = open_page(page_gateway, reduced_motion="reduce").page
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration !== '0s'"
        " || getComputedStyle(e, '::before').animationName !== 'none').length"
    )
    assert moving == 0
