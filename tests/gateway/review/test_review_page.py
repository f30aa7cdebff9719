"""The review page in Debian's chromium: boxes corrected by mouse and keyboard, two reviewers at once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from reviewers import Reviewed, Reviewer
from vfnet_capture import CapturedImage, LabelledBox
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.browser]


def least_certain(review: Reviewed) -> CapturedImage:
    return review.images()[0]


def boxes_of(image: CapturedImage) -> list[tuple[str, tuple[float, float, float, float]]]:
    return [(box.label, corners(box)) for box in image.labels]


def corners(box: LabelledBox) -> tuple[float, float, float, float]:
    return (box.x1, box.y1, box.x2, box.y2)


def comes_to(review: Reviewed, count: int) -> CapturedImage:
    assert eventually(lambda: len(least_certain(review).labels) == count)
    return least_certain(review)


def test_the_least_certain_comes_first(review: Reviewed, reviewer: Reviewer) -> None:
    first = least_certain(review)
    expect(reviewer.page.locator("#stage-title")).to_have_text(f"Image {first.id[-8:]}")
    expect(reviewer.page.locator("#counts")).to_contain_text("3 images to review")
    expect(reviewer.page.locator(".entry").first).to_have_text("Certainty 0.40")
    assert reviewer.page.locator("#boxes .shape").count() == 2


def test_a_mouse_moves_resizes_and_draws(review: Reviewed, reviewer: Reviewer) -> None:
    reviewer.drag((0.25, 0.4), (0.35, 0.5))
    assert eventually(lambda: least_certain(review).version == 1)
    moved = least_certain(review).labels[0]
    assert corners(moved) == pytest.approx((0.2, 0.3, 0.5, 0.7), abs=0.01)
    assert (moved.label, moved.score) == ("can", None)
    reviewer.drag((0.5, 0.7), (0.45, 0.9))  # its lower right corner
    assert eventually(lambda: least_certain(review).version == 2)
    assert corners(least_certain(review).labels[0]) == pytest.approx((0.2, 0.3, 0.45, 0.9), abs=0.01)
    reviewer.page.fill("#new-label", "carton")
    reviewer.page.locator("#new-label").blur()
    reviewer.drag((0.8, 0.05), (0.95, 0.3))
    drawn = comes_to(review, 3).labels[2]
    assert (drawn.label, drawn.score) == ("carton", None)
    assert corners(drawn) == pytest.approx((0.8, 0.05, 0.95, 0.3), abs=0.01)
    untouched = least_certain(review).labels[1]
    assert (untouched.label, untouched.score) == ("bottle", 0.4)
    review_of = least_certain(review).review
    assert review_of is not None
    assert (review_of.state, review_of.by) == ("begun", "Ann")


def test_a_keyboard_does_all_of_it(review: Reviewed, reviewer: Reviewer) -> None:
    page, keyboard = reviewer.page, reviewer.page.keyboard
    before = least_certain(review)
    page.locator("#frame").focus()
    keyboard.press(".")
    keyboard.press("ArrowRight")
    keyboard.press("Shift+ArrowDown")
    keyboard.press("Alt+Shift+ArrowLeft")
    keyboard.press("2")
    reviewer.saved()
    first, second = (least_certain(review).labels[index] for index in (0, 1))
    assert corners(first) == pytest.approx((0.1 + 1 / 400, 0.2 + 10 / 300, 0.4 - 9 / 400, 0.6 + 10 / 300), abs=1e-4)
    assert first.label == page.evaluate("() => document.querySelectorAll('#classes option')[1].value")
    assert corners(second) == corners(before.labels[1])
    keyboard.press(".")
    keyboard.press("Delete")
    assert boxes_of(comes_to(review, 1)) == [(first.label, corners(first))]
    keyboard.press("a")
    comes_to(review, 2)
    for _ in range(6):
        keyboard.press("z")
    reviewer.saved()
    assert [corners(box) for box in comes_to(review, 2).labels] == [corners(box) for box in before.labels]
    keyboard.press("Enter")
    assert eventually(lambda: review.images()[0].is_accepted)
    expect(page.locator("#stage-title")).to_have_text(f"Image {review.images()[1].id[-8:]}")
    keyboard.press("x")
    assert eventually(lambda: review.images()[1].is_left_out)
    expect(page.locator("#stage-title")).not_to_have_text(f"Image {review.images()[1].id[-8:]}")
    keyboard.press("z")
    assert eventually(lambda: not review.images()[1].is_left_out)
    expect(page.locator("#stage-title")).to_have_text(f"Image {review.images()[1].id[-8:]}")
    table = review.place / "reviewed.jsonl"
    assert eventually(lambda: table.exists() and before.id in table.read_text())


def test_objects_are_renamed_and_removed_in_the_list(review: Reviewed, reviewer: Reviewer) -> None:
    page = reviewer.page
    page.get_by_label("Class of object 2").fill("milk bottle")
    page.get_by_label("Class of object 2").press("Enter")
    page.get_by_label("Remove object 1").click()
    assert [(box.label, box.score) for box in comes_to(review, 1).labels] == [("milk bottle", None)]


def test_two_reviewers_at_once_lose_nothing(review: Reviewed, reviewer: Reviewer, second_reviewer: Reviewer) -> None:
    image = least_certain(review)
    for person in (reviewer, second_reviewer):
        expect(person.page.locator("#stage-title")).to_have_text(f"Image {image.id[-8:]}")
    reviewer.page.fill("#new-label", "of Ann")
    reviewer.page.locator("#new-label").blur()
    reviewer.drag((0.8, 0.05), (0.95, 0.3))
    comes_to(review, 3)
    second_reviewer.page.get_by_label("Class of object 1").fill("of Bob")
    second_reviewer.page.get_by_label("Class of object 1").press("Enter")
    expect(second_reviewer.page.locator("#status")).to_contain_text("Ann has changed image")
    second_reviewer.saved()
    assert sorted(box.label for box in least_certain(review).labels) == ["bottle", "of Ann", "of Bob"]
    # She accepts what she sees, which is not all that is there: nobody has seen both.
    reviewer.page.locator("#accept").click()
    expect(reviewer.page.locator("#status")).to_contain_text(re.compile("at the same time|accepted"))
    assert eventually(lambda: least_certain(review).version == 3)
    both = least_certain(review)
    assert sorted(box.label for box in both.labels) == ["bottle", "of Ann", "of Bob"]
    assert not both.is_accepted
    expect(reviewer.page.locator(".entry").first).to_contain_text("Certainty 0.40")


def test_another_key_opens_nothing(review: Reviewed, reviewer: Reviewer) -> None:
    page = reviewer.page
    page.locator("#forget-key").click()
    page.wait_for_load_state("networkidle")
    page.fill("#key", "another-key")
    page.press("#key", "Enter")
    expect(page.locator("#key-error")).to_have_text("This key does not open the review page.")
    expect(page.locator("#desk")).to_be_hidden()
    assert review.images()[0].version == 0


def test_a_change_that_cannot_be_saved_is_said_and_saved_later(review: Reviewed, reviewer: Reviewer) -> None:
    page = reviewer.page
    page.route(
        "**/review/images/*", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    page.get_by_label("Remove object 1").click()
    expect(page.locator("#alarm")).to_contain_text("is not saved: The gateway does not answer.")
    expect(page.locator("#saved")).to_contain_text("not saved yet")
    assert least_certain(review).version == 0
    page.unroute("**/review/images/*")
    assert len(comes_to(review, 1).labels) == 1
    expect(page.locator("#alarm")).to_be_hidden()
    reviewer.visit.complaints.clear()  # the browser's own of the connection that was cut
