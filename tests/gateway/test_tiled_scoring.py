"""Images in tiles inside the gateway: what takes a place, what is kept of them, and how long they may take."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from red_square_detector import SeesRed, encoded, picture
from vfnet_client import tiled_detection
from vfnet_client.contract import ScoreRequest
from vfnet_client.exceptions import DeadlineExceededError, ServerBusyError, ServerUnavailableError
from vfnet_client.score_parameters import read_parameters
from vfnet_gateway import tiled_scoring
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.metrics import GatewayMetrics
from vfnet_gateway.scorer import Answers, Scorer
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.traffic.deployments import Destination

GRID = {"tile_grid_size": "4x3"}
LARGE, SMALL = encoded(picture((700, 500, 30))), encoded(picture((0, 0, 15), (100, 100)))


class Witness:
    """In place of what keeps, copies or looks at images: remembers them."""

    def __init__(self) -> None:
        self.images: list[bytes] = []

    def consider(self, image: bytes, *_others: Any) -> bool:
        self.images.append(image)
        return False

    def offer(self, image: bytes, *_others: Any) -> None:
        self.images.append(image)

    def wants(self, *_others: Any) -> bool:
        return True


def answers(
    transport: SeesRed, images: list[bytes], params: Mapping[str, Any], witness: Witness | None = None, **settings: Any
) -> Answers:
    (found,) = answers_to_each(transport, [images], params, witness, **settings)
    if isinstance(found, BaseException):
        raise found
    return found


def answers_to_each(
    transport: SeesRed,
    requests: list[list[bytes]],
    params: Mapping[str, Any],
    witness: Witness | None = None,
    **settings: Any,
) -> list[Answers | BaseException]:
    """Of requests that come together to one gateway."""

    async def fetch(_url: str) -> bytes:
        return LARGE

    async def run() -> list[Answers | BaseException]:
        chosen = GatewaySettings(server="grpc://127.0.0.1:8001", **settings)
        ensemble = Ensemble(chosen, transport)  # type: ignore[arg-type]
        destination = Destination(ensemble, capture=witness, drift=witness, mirror=witness)  # type: ignore[arg-type]
        scorer = Scorer(chosen, fetch, GatewayMetrics().levels)

        async def answer(images: list[bytes]) -> Answers:
            items: list[Any] = [base64.b64encode(image).decode() for image in images]
            request = ScoreRequest(items, list(range(len(items))), read_parameters(params))
            return await scorer.answer(request, destination)

        try:
            return await asyncio.gather(*map(answer, requests), return_exceptions=True)
        finally:
            await ensemble.finish(5)  # what was sent is not cancelled, and keeps its place until then
            await asyncio.sleep(0.01)
            assert ensemble.in_flight == 0
            budgets = (*scorer._tiled._pixels.values(), *scorer._tiled._encoded.values())
            assert all(budget.has(10**12) for budget in budgets)  # what was taken has been given back

    return asyncio.run(run())


def test_a_small_object_is_found_and_only_what_was_sent_is_kept() -> None:
    transport, witness = SeesRed({"iou_threshold": "0.6", "max_per_img": "100"}), Witness()
    found = answers(transport, [LARGE, SMALL], GRID, witness)
    (large,), (small,) = (json.loads(result or b"")["boxes"] for result in found.results)
    assert [round(corner * side) for corner, side in zip(large["box"].values(), (800, 600) * 2, strict=True)] == [
        700, 500, 730, 530
    ]  # fmt: skip
    assert small["box"]["bottomX"] == 0.15
    assert found.tiles == 24
    assert len(transport.images) == 26
    assert set(witness.images) == {LARGE, SMALL}


def test_every_tile_takes_a_place() -> None:
    transport = SeesRed()
    answers(transport, [LARGE, LARGE], GRID, max_in_flight=5)
    assert transport.most_inside == 5
    transport = SeesRed()
    answers(transport, [LARGE, LARGE], GRID, request_window=3)
    assert transport.most_inside == 3


def test_too_many_tiles_are_that_image_s_fault() -> None:
    found = answers(SeesRed(), [LARGE, SMALL], {"tile_size": 100}, max_tiles=20)
    assert found.results[0] is None
    assert found.results[1] is not None
    assert "at most 20 are made of one" in found.reasons[0]


def test_an_unreadable_image_among_others_is_told_of() -> None:
    found = answers(SeesRed(), [LARGE, b"no image", LARGE], GRID)
    assert list(found.reasons) == [1]
    assert "not an image in a known format" in found.reasons[1]


def test_the_request_s_deadline_is_for_all_tiles() -> None:
    with pytest.raises(DeadlineExceededError, match="no answer"):
        answers(SeesRed(), [LARGE], {"tile_grid_size": "6x6"}, timeout=0.1, max_in_flight=2)


def test_a_server_that_goes_ends_the_request_and_gives_all_places_back() -> None:
    with pytest.raises((ServerUnavailableError, DeadlineExceededError)):
        answers(SeesRed(fails_at=0), [LARGE], GRID, timeout=0.5)


def test_requests_that_find_no_room_for_pixels_wait_like_others_or_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_scoring, "_PIXELS_AT_ONCE", 800 * 600)
    found = answers_to_each(SeesRed(), [[LARGE]] * 5, GRID, max_waiting=2)
    assert [isinstance(each, ServerBusyError) for each in found] == [False] * 3 + [True] * 2
    assert all(each.results[0] for each in found[:3] if isinstance(each, Answers))
    late = answers_to_each(SeesRed(), [[LARGE]] * 2, {"tile_grid_size": "8x8"}, max_in_flight=2, queue_timeout=0.05)
    assert isinstance(late[0], Answers)
    assert isinstance(late[1], ServerBusyError)
    assert "there was no room for more within 0.05 s" in str(late[1])


def test_one_request_of_many_images_is_never_refused_for_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_scoring, "_PIXELS_AT_ONCE", 800 * 600)
    found = answers(SeesRed(), [LARGE] * 6, GRID, max_waiting=1, queue_timeout=0.01)
    assert all(found.results)


def test_encoded_tiles_in_flight_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_scoring, "_ENCODED_AT_ONCE", 1_000_000)
    transport = SeesRed()
    found = answers(transport, [LARGE, LARGE], {"tile_grid_size": "2x1"})
    assert all(found.results)
    assert transport.most_inside == 2  # a tile of 823 kB, and an image as it was sent, of a few


def test_tiles_that_overlap_without_end_are_that_image_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_scoring, "_MOST_TILE_PIXELS", 10 * 800 * 600)
    params = {"tile_grid_size": "8x8", "tile_overlap_ratio": 0.9}
    found = answers(SeesRed(), [LARGE, SMALL], params)
    assert found.results[1] is not None
    assert "the 64 tiles of an image of 800 x 600 would have" in found.reasons[0]
    assert "ask for less overlap" in found.reasons[0]


def test_whatever_takes_long_runs_on_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def told(name: str, own: Any, *given: Any) -> Any:
        seen[name] = threading.current_thread().name
        return own(*given)

    for name in ("_looked_at", "_decoded", "_merged"):
        monkeypatch.setattr(tiled_detection, name, partial(told, name, getattr(tiled_detection, name)))
    answers(SeesRed(), [LARGE], GRID)
    assert len(seen) == 3
    assert all(name.startswith("tiles") for name in seen.values())
