"""Tiles through a real gateway and a real Triton: `params` of /score, and our own clients."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from gateway_process import RunningGateway
from score_requests import GOOD, post, score, strip_png, table
from triton_server import ServedRepository
from vfnet_client import Tiling, VFNetClient
from vfnet_client.score_parameters import PARAMETERS_HEADER

pytestmark = pytest.mark.served

PARAMS = {"tile_size": "400x32", "tile_overlap_ratio": 0.2}
TILING = Tiling(tile_size=(400, 32), tile_overlap_ratio=0.2)
TILES = 4
"""Of a strip of 1333 x 32."""

ABSURD = {
    "a grid and a size": ({"tile_grid_size": "3x2", "tile_size": 640}, "a grid of tiles and a size of tiles are given"),
    "no grid": ({"tile_grid_size": "3"}, "\"tile_grid_size\": '3' is no grid of tiles such as 3x2"),
    "all of a tile": ({"tile_size": 640, "tile_overlap_ratio": 1}, "tiles overlap by 1; it is a share of a tile"),
    "a number that is no float": (
        {"tile_size": 640, "tile_overlap_ratio": 10**400},
        '"tile_overlap_ratio" must be a number from 0 to 1',
    ),
    "no number": ({"tile_size": 640, "tile_predictions_nms_thresh": "0.5"}, "must be a number from 0 to 1"),
}


@pytest.mark.parametrize("path", ["/score", "/invocations"])
def test_params_tile_all_images_of_a_request(
    path: str, gateway: RunningGateway, client: httpx.Client, quick_server: ServedRepository
) -> None:
    name = {"/score": "input_data", "/invocations": "dataframe_split"}[path]
    before = gateway.metric("vfnet_gateway_tiles_total")
    reply = post(client, {name: table([GOOD, GOOD]), "params": PARAMS}, path)
    assert reply.status_code == 200, reply.text
    assert reply.headers[PARAMETERS_HEADER] == "tile_overlap_ratio, tile_size"
    found = reply.json() if path == "/score" else reply.json()["predictions"]
    with VFNetClient(quick_server.grpc_url) as direct:
        expected = direct.detect(strip_png(), tiling=TILING).to_json()
    assert found == [expected, expected]
    assert expected != score(client, [GOOD]).json()[0]
    assert gateway.metric("vfnet_gateway_tiles_total") == before + 2 * TILES


def test_tiles_go_with_other_options(client: httpx.Client, quick_server: ServedRepository) -> None:
    params = {**PARAMS, "max_detections": 5, "nms_iou": 0.1}
    found = score(client, [GOOD], params=params).json()[0]
    with VFNetClient(quick_server.grpc_url) as direct:
        assert found == direct.detect(strip_png(), tiling=TILING, max_detections=5, nms_iou=0.1).to_json()
    assert len(found["boxes"]) == 5


def test_an_image_that_is_too_small_for_tiles_is_answered_as_without(client: httpx.Client) -> None:
    assert score(client, [GOOD], params={"tile_size": 2000}).content == score(client, [GOOD]).content


@pytest.mark.parametrize(("params", "words"), ABSURD.values(), ids=ABSURD)
def test_tiles_that_make_no_sense_are_the_requests_fault(
    params: dict[str, Any], words: str, client: httpx.Client
) -> None:
    reply = score(client, [GOOD, "no image"], params=params)
    assert reply.status_code == 400, reply.text
    assert list(reply.json()) == ["message"]
    assert words in reply.json()["message"]


def test_images_that_cannot_be_read_or_tiled_are_named_beside_the_others(client: httpx.Client) -> None:
    text = base64.b64encode(b"This is text, and no image at all.").decode()
    reply = score(client, [text, GOOD], params=PARAMS)
    assert reply.status_code == 422
    assert [error["position"] for error in reply.json()["errors"]] == [0]
    assert reply.json()["results"][1] == score(client, [GOOD], params=PARAMS).json()[0]
    reply = score(client, [GOOD], params={"tile_size": 16})
    assert reply.status_code == 422
    assert "and at most 64 are made of one" in reply.json()["errors"][0]["reason"]


def test_our_own_clients_tile_through_it_as_well(
    gateway: RunningGateway, quick_server: ServedRepository, client: httpx.Client
) -> None:
    with VFNetClient(quick_server.grpc_url) as direct:
        expected = direct.detect(strip_png(), tiling=TILING)
        request = {"input_data": table([GOOD]), "params": PARAMS}
        assert json.loads(direct.score(request).body) == score(client, [GOOD], params=PARAMS).json()
    for url in (f"grpc://{gateway.grpc_authority}", gateway.address, f"{gateway.address}/score"):
        with VFNetClient(url) as through:
            assert through.detect(strip_png(), tiling=TILING) == expected
