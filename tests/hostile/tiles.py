"""Tiles as nobody means them: texts that are no pair, grids of millions, tiles larger than the image, and many at once."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Callable
from functools import cache, partial

import numpy as np
from PIL import Image

from attack import DOOR, Attack, AttackList, Reply, answered, answered_or_busy, http, post_json, refused
from deployment import Deployment
from score_requests import GOOD
from sweeping import SWEPT, Case, at_once, sweep

_TABLES = {"/score": "input_data", "/invocations": "dataframe_split"}
_LONG = 4_000_000


def tile_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("tiles")
    for path in _TABLES:
        found.add(f"{path}: tiles that are none", DOOR, sweep(_cases(path, _refused(), refused)), **SWEPT)
        found.add(f"{path}: tiles that are odd", DOOR, sweep(_cases(path, _odd(), answered)), **SWEPT)
    for key in ("tile_grid_size", "tile_size"):
        for name, text in _long_texts().items():
            body = partial(_body, "/score", f'{{"{key}": {text}}}')
            found.add(f"{key} of {name}", DOOR, http(DOOR, body, 60))
    tiny = base64.b64encode(_png(np.zeros((1, 1, 3), np.uint8))).decode()
    found.add("tiles of an image of one pixel", DOOR, sweep(_cases("/score", _ALLOWED, answered, tiny)), **SWEPT)
    smallest, pair = '{"tile_size": 16}', '{"tile_grid_size": "2x1"}'
    found.add("190,000 tiles", DOOR, _sent(smallest, lambda: _wide(49)))
    found.add("190,000 tiles of each of 40 images", DOOR, _sent(smallest, lambda: _wide(49), 40))
    for name, image in _UNREADABLE.items():
        found.add(f"tiles of {name}", DOOR, _sent(pair, image))
    whole = '{"tile_grid_size": "8x8", "tile_overlap_ratio": 0.9999999999999999}'
    found.add("64 tiles that are the image", DOOR, _sent(whole, lambda: GOOD), allowed=answered_or_busy, is_quick=False)
    found.add("60 requests for them, hung up on", DOOR, _hung_up_on(_body("/score", whole), 60), allowed=_anything,
              is_quick=False)  # fmt: skip
    every = '{"tile_size": "900x32", "max_detections": 1000, "nms_iou": 1, "tile_predictions_nms_thresh": 1}'
    wide, low = _sent(pair, lambda: _wide(49)), _sent(pair, lambda: _wide(49), headers={"x-vfnet-priority": "batch"})
    mixed = [http(DOOR, _body("/score", params, image), 90) for params, image in _good_and_bad()] * 4
    for name, sends in {
        "all boxes of all tiles, 10 callers": [_sent(every, lambda: GOOD)] * 10,
        "49 million pixels, 8 callers": [wide] * 8,
        "49 million pixels, 8 callers of both priorities": [wide, low] * 4,
        "good and bad tiles, 24 callers": mixed,
    }.items():
        found.add(name, DOOR, at_once(sends, answered_or_busy), **SWEPT)
    return found.attacks


def _sent(
    params: str, image: Callable[[], str], count: int = 1, headers: dict[str, str] | None = None
) -> Callable[[Deployment], Reply]:
    """A request whose image is made when it is sent."""
    return http(DOOR, lambda: _body("/score", params, image(), count, headers), 120)


def _anything(_reply: Reply) -> bool:
    return True


def _body(path: str, params: str, image: str = GOOD, count: int = 1, headers: dict[str, str] | None = None) -> bytes:
    rows = json.dumps({"columns": ["image"], "data": [image] * count})
    return post_json(path, f'{{"{_TABLES[path]}": {rows}, "params": {params}}}'.encode(), headers)


def _cases(path: str, params: list[str], allowed: Callable[[Reply], bool], image: str = GOOD) -> list[Case]:
    return [(text[:80], http(DOOR, _body(path, text, image), 60), allowed) for text in params]


_NO_PAIRS = (
    '"3"', '"x"', '"3x"', '"x2"', '"3x2x1"', '"3 2"', '"3*2"', '"-3x2"', '"3.5x2"', '"1e3x2"', '"3x2\\u0000"', '"0x0"', '""',
    '" "', '"((3x2))"', '"NaN"', '"\\ud800x2"', '"1000000x2"', "[]", "[3, 2, 1]", "[[3], [2]]", "[true, 2]", "[null, 2]",
    "[-3, 2]", "[1e400, 2]", "[0, 0]", "{}", '{"x": 3}', "true", "false", "2.5", "NaN", "Infinity", "-1", "0",
    "1e400", "9" * 400, '["x", "x"]', '["3x2", "2"]', '["", ""]',
)  # fmt: skip


def _refused() -> list[str]:
    """`params` whose tiles are none, or too many."""
    numbers = (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e-300",
        "-1",
        "2",
        "true",
        '"0.5"',
        "[0.5]",
        "{}",
        "1" + "0" * 400,
    )
    return [
        *(f'{{"{key}": {value}}}' for key in ("tile_grid_size", "tile_size") for value in _NO_PAIRS),
        *(f'{{"tile_size": 640, "tile_overlap_ratio": {value}}}' for value in (*numbers, "1", "1.0000000000000002")),
        *(f'{{"tile_grid_size": "3x2", "tile_predictions_nms_thresh": {value}}}' for value in numbers),
        *(f'{{"tile_grid_size": "3x2", "tile_whole_image": {value}}}' for value in ("1", '"true"', "[]", "{}", "0.0")),
        '{"tile_grid_size": "3x2", "tile_size": 640}', '{"tile_grid_size": "1x1"}', '{"tile_size": 15}', '{"tile_size": "16x15"}',
        '{"tile_grid_size": "999999x999999"}', '{"tile_grid_size": [999999, 1]}', '{"tile_grid_size": "65x1"}',
        '{"tile_size": 16}', '{"tile_size": "16x16", "tile_overlap_ratio": 0.9999999999999999}',
        '{"tile_size": "32x32", "tile_overlap_ratio": 0.97}',
    ]  # fmt: skip


_ALLOWED = [
    '{"tile_grid_size": "3x2"}', '{"tile_grid_size": "2x1"}', '{"tile_size": 640}', '{"tile_size": [999999, 999999]}',
    '{"tile_size": "999999x16"}', '{"tile_size": 16}', '{"tile_grid_size": "1x64"}',
]  # fmt: skip


def _odd() -> list[str]:
    """Served or refused: tiles that are as large as the image or larger, of nearly no overlap or of nearly all of it.

    None of these are narrow: the network sees a tile enlarged, as it sees any small image, and 64 of a photo's size are
    load and no attack.
    """
    return [
        *_ALLOWED,
        '{"tile_size": 1333, "tile_overlap_ratio": 0.9999999999999999}',
        '{"tile_size": "999999x16", "tile_overlap_ratio": 0.9999999}',
        '{"tile_size": "1332x32", "tile_overlap_ratio": 0.9999999999999999}',
        '{"tile_size": "1300x32", "tile_overlap_ratio": 0.5, "tile_whole_image": false}',
        '{"tile_grid_size": "2x1", "tile_overlap_ratio": 0.9999999999999999, "tile_whole_image": false}',
        '{"tile_grid_size": "2x1", "tile_overlap_ratio": 5e-324, "tile_predictions_nms_thresh": 5e-324}',
        '{"tile_grid_size": "2x1", "tile_overlap_ratio": -0.0, "tile_predictions_nms_thresh": -0.0}',
        '{"tile_grid_size": "2x1", "tile_predictions_nms_thresh": 1, "nms_iou": 1, "max_detections": 1000}',
        '{"tile_grid_size": "2x1", "classes": ["can"], "score_threshold": 0.999}',
        '{"tile_grid_size": "\\u0663x\\u0662"}', '{"tile_grid_size": "\\u20033x2\\u2003"}', '{"tile_grid_size": "(2,1"}',
        '{"tile_overlap_ratio": "nonsense", "tile_predictions_nms_thresh": [[]]}', '{"tile_grid_size": null, "tile_size": null}',
    ]  # fmt: skip


def _long_texts() -> dict[str, str]:
    """JSON values of megabytes, whose reading could take long."""
    blanks = " " * _LONG
    return {
        "blanks": f'"{blanks}"',
        "blanks in a bracket": f'"({blanks}"',
        "a pair, blanks and a star": f'"3x2{blanks}*"',
        "a number, blanks and a star": f'"3{blanks}*"',
        "digits": f'"{"3" * _LONG}"',
        "a pair of digits": f'"{"3" * _LONG}x{"2" * _LONG}"',
        "brackets": f'"{"(" * _LONG}3x2"',
        "a list of blanks": f'["{blanks}", "{blanks}"]',
        "a list of a list of what is not printed": '[["' + "\\ue000" * (_LONG // 2) + '"], 2]',
        "a list of 70,000 sides": "[" + "3," * 69_999 + "2]",
    }


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@cache
def _wide(millions: int) -> str:
    """A black image of about so many million pixels, in base64: large, a small file, and narrow once it is resized."""
    return base64.b64encode(_png(np.zeros((millions * 1_000_000 // _WIDTH, _WIDTH), np.uint8))).decode()


_WIDTH = 16_000


def _half() -> str:
    whole = base64.b64decode(_wide(49))
    return base64.b64encode(whole[: len(whole) // 2]).decode()


_UNREADABLE: dict[str, Callable[[], str]] = {
    "no image": lambda: base64.b64encode(b"no image at all").decode(),
    "an image of 60 million pixels": lambda: _wide(60),
    "an image that claims 2^31 pixels": lambda: base64.b64encode(b"P6\n65536 32768\n255\n" + bytes(1000)).decode(),
    "half an image of 49 million pixels": _half,
}


def _good_and_bad() -> list[tuple[str, str]]:
    return [
        ('{"tile_size": "900x32"}', GOOD),
        ('{"tile_size": "900x32", "classes": ["none of these"]}', GOOD),
        ('{"tile_size": "900x32", "max_detections": 5000}', GOOD),
        ('{"tile_grid_size": "2x1"}', base64.b64encode(b"no image at all").decode()),
        ('{"tile_size": 16}', GOOD),
        ("{}", GOOD),
    ]


def _hung_up_on(data: bytes, count: int) -> Callable[[Deployment], Reply]:
    """Callers that send all and leave within seconds, while their tiles are cut, sent and waited for."""

    def send(deployment: Deployment) -> Reply:
        connections = [socket.create_connection(("127.0.0.1", deployment.score_port), timeout=20) for _ in range(count)]
        for connection in connections:
            connection.sendall(data)
        for connection in connections:
            time.sleep(0.05)
            connection.close()
        return Reply("hung up", f"on {count}")

    return send
