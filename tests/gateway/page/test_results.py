"""What the page shows of a picture that was detected in."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import FilePayload, Page, expect

from browser_page import OpenPage, Visit, picture
from gateway_process import RunningGateway
from vfnet_client.drawing import PALETTE, colour_of

pytestmark = pytest.mark.served


@pytest.fixture
def visit(open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload) -> Visit:
    """A page that shows the detections of the strip."""
    visit = open_page(page_gateway)
    visit.add(strip)
    visit.wait_for("done")
    expect(visit.page.get_by_role("table", name="Detections")).to_be_visible()
    return visit


def boxes_of(page: Page) -> list[dict[str, Any]]:
    """The boxes of the response that the page shows."""
    page.get_by_role("tab", name="Response").click()
    boxes: list[dict[str, Any]] = json.loads(page.locator("#recipe").inner_text())[0]["boxes"]
    return boxes


def visible_boxes(page: Page) -> int:
    return page.locator("#overlay .box:not(.out)").count()


def screenshot_without_boxes(page: Page) -> Image.Image:
    if page.locator("#overlay .box").count() > 0:
        page.get_by_role("button", name="None", exact=True).click()
    return Image.open(io.BytesIO(page.locator("#frame img").screenshot())).convert("RGB")


def set_threshold(page: Page, value: float) -> None:
    page.get_by_label("Least score").fill(str(value))


def test_the_sample_is_detected_in_and_its_boxes_lie_where_the_response_says(
    open_page: OpenPage, page_gateway: RunningGateway
) -> None:
    visit = open_page(page_gateway)
    page = visit.page
    page.get_by_role("button", name="Try the sample").click()
    visit.wait_for("done")
    expect(page.locator("#status")).to_contain_text("sample.png")
    boxes = boxes_of(page)
    assert boxes
    expect(page.locator("#overlay .box")).to_have_count(len(boxes))
    frame = page.locator("#overlay").bounding_box()
    assert frame is not None
    for index, box in enumerate(boxes):
        drawn = page.locator(f"#overlay .box[data-index='{index}'] .line").evaluate(
            "line => ['x', 'y', 'width', 'height'].map(name => Number(line.getAttribute(name)))"
        )
        corners = box["box"]
        assert drawn == pytest.approx(
            [
                corners["topX"] * frame["width"],
                corners["topY"] * frame["height"],
                (corners["bottomX"] - corners["topX"]) * frame["width"],
                (corners["bottomY"] - corners["topY"]) * frame["height"],
            ],
            abs=0.6,
        )
    assert visit.refused == []


def test_threshold_and_classes_choose_boxes_without_asking_the_server(visit: Visit) -> None:
    page, boxes = visit.page, boxes_of(visit.page)
    asked = len(visit.requests)
    set_threshold(page, 0)
    assert visible_boxes(page) == len(boxes)
    middle = round(sorted(box["score"] for box in boxes)[len(boxes) // 2], 2)
    set_threshold(page, middle)
    left = [box for box in boxes if box["score"] >= middle]
    assert 0 < len(left) < len(boxes)
    assert visible_boxes(page) == len(left)
    expect(page.locator("#table tbody tr:visible")).to_have_count(len(left))
    expect(page.locator("#shown")).to_have_text(f"{len(left)} of {len(boxes)} boxes shown")

    set_threshold(page, 0)
    label = boxes[0]["label"]
    page.get_by_role("checkbox", name=label).uncheck()
    assert visible_boxes(page) == sum(box["label"] != label for box in boxes)
    page.get_by_role("button", name="None", exact=True).click()
    assert visible_boxes(page) == 0
    page.get_by_role("button", name="All", exact=True).click()
    assert visible_boxes(page) == len(boxes)
    assert len(visit.requests) == asked


def test_a_row_brings_its_box_forward_and_a_box_its_row(visit: Visit) -> None:
    page = visit.page
    set_threshold(page, 0)
    page.locator("#table tbody tr").nth(1).hover()
    expect(page.locator("#overlay .box.active")).to_have_attribute("data-index", "1")
    page.locator("#overlay .label").first.dispatch_event("click")
    index = page.locator("#overlay .label.active").get_attribute("data-index")
    expect(page.locator("#table tr.active")).to_have_attribute("data-index", str(index))
    expect(page.locator("#table tr.active").get_by_role("button")).to_have_attribute("aria-pressed", "true")
    page.locator("#table tr.active button").press("Escape")
    expect(page.locator("#overlay .active")).to_have_count(0)


def test_the_table_gives_pixels_of_the_stored_picture(visit: Visit) -> None:
    box = boxes_of(visit.page)[0]
    cells = visit.page.locator("#table tbody tr").first.locator("td.number").all_inner_texts()
    left, top, right, bottom = (box["box"][name] for name in ("topX", "topY", "bottomX", "bottomY"))
    score, corner, size = (cell.replace(" \N{MULTIPLICATION SIGN}", ",").split(", ") for cell in cells)
    assert float(score[0]) == pytest.approx(box["score"], abs=5e-4)
    assert [int(part) for part in corner] == pytest.approx([720 * left, 96 * top], abs=0.51)
    assert [int(part) for part in size] == pytest.approx([720 * (right - left), 96 * (bottom - top)], abs=0.51)


def test_the_time_of_every_stage_is_told(visit: Visit) -> None:
    rows = {
        row.locator("th").inner_text(): row.locator("td").first.inner_text()
        for row in visit.page.locator("#timing-rows tr").all()
    }
    assert list(rows) == [
        "Browser: base64",
        "Upload and wait",
        "Gateway: body read",
        "Gateway: JSON parsed",
        "Gateway: inference",
        "Gateway: waiting for a place",
        "Gateway: Triton asked",
        "Triton: preprocess",
        "preprocess: let in",
        "preprocess: image decoded",
        "preprocess: resized",
        "Triton: detector",
        "detector: waiting for its batch",
        "detector: network",
        "detector: best candidates",
        "Triton: postprocess",
        "postprocess: overlaps removed",
        "postprocess: JSON written",
        "Gateway: answer written",
        "Browser: draw",
    ]
    ms = {name: float(figure.replace(",", "")) for name, figure in rows.items()}
    assert ms["Upload and wait"] >= ms["Gateway: inference"] > 0
    assert ms["Gateway: Triton asked"] >= ms["Triton: detector"] >= ms["detector: network"] > 0
    models = [ms[f"Triton: {model}"] for model in ("preprocess", "detector", "postprocess")]
    assert ms["Gateway: Triton asked"] >= sum(models) - 0.2  # of this very picture, to what rounding leaves
    expect(visit.page.locator("#timing-note")).to_contain_text("all are of this picture")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_exif_orientation_is_ignored(open_page: OpenPage, page_gateway: RunningGateway, image_format: str) -> None:
    visit = open_page(page_gateway)
    visit.add(picture("turned", image_format, exif_orientation=6))
    visit.wait_for("done")
    page = visit.page
    expect(page.locator("#stage-facts")).to_contain_text("720 \N{MULTIPLICATION SIGN} 96 px")
    shown = screenshot_without_boxes(page)
    with Image.open(io.BytesIO(picture("as it is stored")["buffer"])) as stored:
        difference = ImageChops.difference(shown, stored.resize(shown.size))
    assert max(ImageStat.Stat(difference).mean) < 12


def test_of_a_moving_picture_the_first_frame_is_shown(open_page: OpenPage, page_gateway: RunningGateway) -> None:
    visit, encoded = open_page(page_gateway), io.BytesIO()
    red, blue = Image.new("RGB", (320, 32), "red"), Image.new("RGB", (320, 32), "blue")
    red.save(encoded, "GIF", save_all=True, append_images=[blue], duration=[20, 60_000], loop=1)
    visit.add(FilePayload(name="moving.gif", mimeType="image/gif", buffer=encoded.getvalue()))
    visit.wait_for("done")
    red_part, _, blue_part = ImageStat.Stat(screenshot_without_boxes(visit.page)).mean
    assert red_part > 200 > 50 > blue_part


def test_a_format_that_the_browser_cannot_show_still_has_its_table(
    open_page: OpenPage, page_gateway: RunningGateway
) -> None:
    visit = open_page(page_gateway)
    visit.add(picture("scan.tif", "TIFF"))
    visit.wait_for("done")
    expect(visit.page.get_by_text("This browser cannot show pictures of this format")).to_be_visible()
    expect(visit.page.locator("#frame")).to_be_hidden()
    expect(visit.page.get_by_role("columnheader", name="Size (%)")).to_be_visible()
    assert visit.page.locator("#table tbody tr").count() == len(boxes_of(visit.page)) > 0


def test_each_picture_of_several_is_kept_and_shown_when_chosen(
    open_page: OpenPage, page_gateway: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(page_gateway)
    visit.add(strip, picture("second.jpg", "JPEG"))
    visit.wait_for("done", 2)
    expect(visit.page.get_by_role("heading", name="strip.png")).to_be_visible()
    asked = len(visit.requests)
    visit.page.get_by_role("option", name="second.jpg").click()
    expect(visit.page.get_by_role("heading", name="second.jpg")).to_be_visible()
    expect(visit.page.get_by_role("table", name="Detections")).to_be_visible()
    visit.page.get_by_role("button", name="Remove", exact=True).click()
    expect(visit.page.get_by_role("option")).to_have_count(1)
    assert len(visit.requests) == asked


def test_a_class_has_the_colour_that_the_command_line_gives_it(visit: Visit) -> None:
    labels = ["can", "carton", "milk_bottle", "water_bottle", "person", "traffic light", "Flasche, grün", "🚲"]
    drawn = visit.page.evaluate(
        "async labels => { const { colourOf } = await import('./elements.js'); return labels.map(colourOf); }", labels
    )
    assert [tuple(colour) for colour in drawn] == [colour_of(label) for label in labels]


def test_text_on_any_class_colour_can_be_read(visit: Visit) -> None:
    texts = visit.page.evaluate(
        "async colours => { const { readableOn } = await import('./elements.js'); return colours.map(readableOn); }",
        [list(colour) for colour in PALETTE],
    )
    for colour, text in zip(PALETTE, texts, strict=True):
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        contrast = (luminance + 0.05) / 0.05 if text == "#000" else 1.05 / (luminance + 0.05)
        assert contrast >= 4.5
