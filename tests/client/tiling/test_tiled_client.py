"""The client with tiles, against a detector that sees red squares that are large enough in what it is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from PIL import Image

from red_square_detector import SeesRed, encoded, picture
from vfnet_client import AsyncVFNetClient, Detections, InvalidImageError, ServerUnavailableError, Tiling
from vfnet_client.exceptions import WrongServerError

GRID = Tiling(tile_grid_size=(4, 3))


def client_of(transport: SeesRed, server: str = "grpc://127.0.0.1:1", **how: Any) -> AsyncVFNetClient:
    client = AsyncVFNetClient(server, retries=0, **how)
    client._opened = transport  # type: ignore[assignment]
    return client


def detect(transport: SeesRed, image: Any, tiling: Tiling | None, **how: Any) -> Detections:
    async def run() -> Detections:
        async with client_of(transport, **how) as client:
            return await client.detect(image, tiling=tiling)

    return asyncio.run(run())


def test_a_small_object_is_found_in_a_tile_where_it_lies() -> None:
    image = encoded(picture((700, 500, 30)))
    assert detect(SeesRed(), image, None).boxes == []
    (box,) = detect(SeesRed(), image, GRID).boxes
    assert box.label == "red"
    assert box.in_pixels(800, 600) == pytest.approx((700, 500, 730, 530))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiles_lie_in_the_stored_pixels_whatever_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = encoded(picture((96, 400, 32)), "JPEG", quality=100, subsampling=0, exif=exif)
    (box,) = detect(SeesRed(), image, GRID).boxes
    assert box.in_pixels(800, 600) == pytest.approx((96, 400, 128, 432), abs=2)


def test_the_image_itself_is_sent_as_it_is_and_its_tiles_with_it() -> None:
    transport, image = SeesRed(), encoded(picture((0, 0, 500)), "JPEG")
    found = detect(transport, image, GRID)
    assert len(transport.images) == 13
    assert transport.images.count(image) == 1
    assert transport.most_inside == 13
    assert any(box.in_pixels(800, 600) == pytest.approx((0, 0, 500, 500), abs=2) for box in found.boxes)
    only = SeesRed()
    detect(only, image, Tiling(tile_grid_size=(4, 3), whole_image=False))
    assert image not in only.images
    assert len(only.images) == 12


def test_no_more_are_in_flight_than_concurrency_says() -> None:
    transport = SeesRed()
    detect(transport, encoded(picture((0, 0, 50))), GRID, concurrency=3)
    assert transport.most_inside == 3


def test_an_image_that_fits_into_a_tile_is_sent_once_and_answered_as_without() -> None:
    transport, image = SeesRed(), encoded(picture((0, 0, 200)))
    tiling = Tiling(tile_size=(2000, 2000))
    assert detect(transport, image, tiling) == detect(SeesRed(), image, None)
    assert transport.images == [image]


def test_what_fails_for_one_tile_fails_for_the_image_and_ends_the_others() -> None:
    transport = SeesRed(fails_at=4)
    with pytest.raises(ServerUnavailableError, match="gone"):
        detect(transport, encoded(picture((0, 0, 50))), GRID)
    assert transport.inside == 0
    assert transport.answered < 12


def test_what_cannot_be_tiled_is_the_image_s_fault() -> None:
    for image, tiling, words in (
        (b"no image", GRID, "not an image in a known format"),
        (encoded(picture((0, 0, 9), (800, 600))), Tiling(tile_size=(16, 16)), "at most 1000 are made of one"),
    ):
        transport = SeesRed()
        with pytest.raises(InvalidImageError, match=words):
            detect(transport, image, tiling)
        assert transport.images == []


def test_the_server_s_terms_are_asked_for_once_and_apply() -> None:
    """Two squares that the image shows as one box, of which the tiles show a half each."""
    image = encoded(picture((350, 250, 100)))

    async def counts(transport: SeesRed, tiling: Tiling) -> list[int]:
        async with client_of(transport) as client:
            return [len((await client.detect(image, tiling=tiling)).boxes) for _ in range(2)]

    two_by_one = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0)
    lenient, strict = (SeesRed({"iou_threshold": text, "max_per_img": "100"}) for text in ("0.6", "0.4"))
    assert asyncio.run(counts(lenient, two_by_one)) == [3, 3]  # halves, and the whole
    assert asyncio.run(counts(strict, two_by_one)) == [1, 1]
    assert lenient.asked_for_terms == 1
    one = SeesRed({"iou_threshold": "0.6", "max_per_img": "2"})
    assert asyncio.run(counts(one, two_by_one)) == [2, 2]
    chosen = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0, tile_predictions_nms_thresh=0.4)
    assert asyncio.run(counts(lenient, chosen)) == [1, 1]
    silent = SeesRed()
    assert asyncio.run(counts(silent, two_by_one)) == [3, 3]  # MMDetection's 0.6


def test_many_images_say_in_how_many_tiles_they_were_detected() -> None:
    small, large, broken = encoded(picture((0, 0, 50), (100, 100))), encoded(picture((0, 0, 50))), b"broken"
    transport = SeesRed()

    async def run() -> list[Any]:
        async with client_of(transport, concurrency=5) as client:
            images = [large, small, broken, large]
            return [each async for each in client.detect_many(images, tiling=Tiling(tile_size=(400, 400)))]

    results = asyncio.run(run())
    assert [result.tiles for result in results] == [6, 0, 0, 6]
    assert isinstance(results[2].error, InvalidImageError)
    assert [result.position for result in results] == [0, 1, 2, 3]
    assert results[0].image == large
    assert transport.most_inside == 5


def test_an_endpoint_is_asked_for_the_documented_answer_only() -> None:
    transport = SeesRed()
    (box,) = detect(transport, encoded(picture((700, 500, 30))), GRID, server="http://127.0.0.1:1/score").boxes
    assert box.label == "red"
    assert transport.outputs == {("DETECTIONS",)}


class TellsOnceItIsThere(SeesRed):
    """A server that is asked how it suppresses while it starts: it tells when it has answered."""

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:
        self.parameters = {"iou_threshold": "0.6", "max_per_img": "1"} if self.answered else None
        return await super().step_parameters(step, timeout=timeout)


def test_the_first_image_is_merged_on_the_server_s_terms_too() -> None:
    assert len(detect(TellsOnceItIsThere(), encoded(picture((0, 0, 500))), GRID).boxes) == 1
    assert len(detect(SeesRed(), encoded(picture((0, 0, 500))), GRID).boxes) > 1


class NeverTells(SeesRed):
    """A gateway, which has no configurations of models."""

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:  # noqa: ARG002
        self.asked_for_terms += 1
        raise WrongServerError("there is nothing here")


def test_who_does_not_tell_is_not_asked_with_every_image() -> None:
    transport, image = NeverTells(), encoded(picture((0, 0, 50)))

    async def run() -> None:
        async with client_of(transport) as client:
            for _ in range(3):
                await client.detect(image, tiling=GRID)

    asyncio.run(run())
    assert transport.asked_for_terms == 1


def test_an_image_that_is_not_tiled_is_not_decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("vfnet_client.tiled_detection._decoded")
    assert detect(SeesRed(), encoded(picture((0, 0, 200))), Tiling(tile_size=(2000, 2000))).boxes


class TwoBuilds(SeesRed):
    """Servers of two builds in turn, whose first classes are not the same."""

    def answer(self, image: bytes) -> dict[str, Any]:
        found = super().answer(image)
        name = b"red" if self.answered % 2 else b"blue"
        return {**found, "DETECTIONS": [found["DETECTIONS"][0].replace(b"red", name)]}


def test_boxes_of_servers_that_number_classes_otherwise_do_not_remove_each_other() -> None:
    image = encoded(picture((350, 250, 100)))
    tiling = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0, tile_predictions_nms_thresh=0.4)
    assert [box.label for box in detect(SeesRed(), image, tiling).boxes] == ["red"]
    assert {box.label for box in detect(TwoBuilds(), image, tiling).boxes} == {"red", "blue"}
