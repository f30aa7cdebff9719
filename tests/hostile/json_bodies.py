"""JSON as it should not be, and image data in it: depth, width, numbers, text, and what unpacks to much more."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image

from attack import DOOR, TRITON, Attack, AttackList, answered, anything, http, post_json, request
from score_requests import GOOD, strip_png

_PARSER = "Triton reads JSON with rapidjson, recursively and without a bound (2.51), before any model is asked"


def json_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("JSON")
    for path in ("/score", "/invocations", _INFER):
        for name, body in _bodies().items():
            found.add(f"{name} at {path}", DOOR, http(DOOR, partial(post_json, path, body), 60))
    for name, body in _bodies().items():
        why = {"why_not_mended": _PARSER} if name in _DEEP else {}
        found.add(name, TRITON, http(TRITON, partial(post_json, _INFER, body), 60), allowed=anything, **why)
    for name, document in _documents().items():
        found.add(f"/score: {name}", DOOR, http(DOOR, partial(post_json, "/score", document), 60), allowed=answered)
    for name, item in _items().items():
        document = {"input_data": {"columns": ["image"], "data": [item]}}
        found.add(f"/score: image is {name}", DOOR, http(DOOR, post_json("/score", document), 60))
        document = {"dataframe_split": {"columns": ["image"], "data": [[item]]}}
        found.add(f"/invocations: image is {name}", DOOR, http(DOOR, post_json("/invocations", document), 60))
    for name, image in _bombs().items():
        document = {"input_data": {"columns": ["image"], "data": [base64.b64encode(image).decode()]}}
        found.add(
            f"/score: {name}", DOOR, http(DOOR, post_json("/score", document), 60), allowed=answered, is_quick=False
        )
        head = json.dumps(
            {"inputs": [{"name": "IMAGE", "datatype": "BYTES", "shape": [1],
                         "parameters": {"binary_data_size": len(image) + 4}}]}
        ).encode()  # fmt: skip
        body = head + struct.pack("<I", len(image)) + image
        data = request("POST", _INFER, body, {"Inference-Header-Content-Length": str(len(head))})
        for target in (TRITON, DOOR):
            found.add(f"KServe: {name}", target, http(target, data, 60), allowed=answered, is_quick=False)
    return found.attacks


_INFER = "/v2/models/vfnet/infer"
_DEEP = (
    "two million brackets",
    "two million braces",
    "100,000 brackets closed again",
    "brackets inside the request",
)


@cache
def _bodies() -> dict[str, bytes]:
    """Whole bodies that are no request, whatever the route."""
    return {
        "two million brackets": b"[" * 2_000_000,
        "two million braces": b'{"a":' * 2_000_000,
        "100,000 brackets closed again": b"[" * 100_000 + b"]" * 100_000,
        "brackets inside the request": b'{"input_data":' + b"[" * 500_000,
        "nothing": b"",
        "null": b"null",
        "a number": b"5",
        "a text": b'"text"',
        "a list": b"[]",
        "NaN": b'{"input_data": NaN}',
        "Infinity": b'{"inputs": -Infinity}',
        "1e999": b'{"inputs": 1e999}',
        "a number of a million digits": b'{"inputs": ' + b"9" * 1_000_000 + b"}",
        "an exponent of a million digits": b'{"inputs": 1e' + b"9" * 1_000_000 + b"}",
        "not UTF-8": b'{"input_data": "\xff\xfe\xc0\x80"}',
        "UTF-16": '{"input_data": {}}'.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf{}",
        "NUL after the document": b"{}\0\0\0",
        "NUL in a text": b'{"input_data": "\0"}',
        "two documents": b"{}{}",
        "a comment": b"{/* */}",
        "a trailing comma": b'{"input_data": {},}',
        "single quotes": b"{'input_data': {}}",
        "a lone surrogate as a key": b'{"\\ud800": 1}',
        "a key of ten megabytes": b'{"' + b"k" * 10_000_000 + b'": 1}',
        "a text that does not end": b'{"input_data": "' + b"x" * 1_000_000,
        "a million keys": b"{" + b",".join(b'"k%d":0' % i for i in range(1_000_000)) + b"}",
        "the same key 300,000 times": b"{" + b",".join([b'"input_data":{}'] * 300_000) + b',"x":1}',
        "eight million numbers": b'{"inputs": [' + b"1," * 7_999_999 + b"1]}",
        "a million empty lists": b'{"inputs": [' + b"[]," * 999_999 + b"[]]}",
        "escapes for a megabyte": b'{"input_data": "' + b"\\u0041" * 1_000_000 + b'"}',
        "white space of 30 MB": b" " * 30_000_000 + b"null",
        "a billion laughs of references": b'{"$ref": "#", "a": {"$ref": "#"}}',
        "a prototype": b'{"__proto__": {"input_data": 1}, "constructor": {"prototype": {}}}',
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "YAML": b"!!python/object/apply:os.system ['true']",
    }


def _documents() -> dict[str, Any]:
    """Requests of /score that are nearly right; served or refused, never slow and never a failure."""
    deep: Any = 0
    for _ in range(900):
        deep = [deep]
    deeper: Any = 0
    for _ in range(200):
        deeper = {"a": deeper}
    good = {"columns": ["image"], "data": [GOOD]}
    return {
        "200,000 empty texts": {"input_data": {"columns": ["image"], "data": [""] * 200_000}},
        "200,000 numbers": {"input_data": {"columns": ["image"], "data": list(range(200_000))}},
        "200,000 nulls in rows": {"input_data": {"columns": ["image"], "data": [[None]] * 200_000}},
        "8,000,000 numbers": b'{"input_data":{"columns":["image"],"data":[' + b"1," * 7_999_999 + b"1]}}",
        "20,000 texts that are no image": {"input_data": {"columns": ["image"], "data": ["AAAA"] * 20_000}},
        "index nested 900 deep": {"input_data": {**good, "index": [deep]}},
        "index nested 900 deep, a megabyte of it": b'{"input_data":{"columns":["image"],"data":["x"],"index":['
        + b",".join([b"[" * 900 + b"]" * 900] * 500)
        + b"]}}",
        "index of objects": {"input_data": {**good, "index": [deeper]}},
        "index of a text of 5 MB": {"input_data": {**good, "index": ["i" * 5_000_000]}},
        "index of a lone surrogate": b'{"input_data":{"columns":["image"],"data":["x"],"index":["\\ud800"]}}',
        "index longer than the data": {"input_data": {**good, "index": [1, 2]}},
        "index of 300,000": {"input_data": {**good, "index": list(range(300_000))}},
        "index of 10^400": b'{"input_data":{"columns":["image"],"data":["x"],"index":[' + b"1" * 400 + b"]}}",
        "100,000 columns": {"input_data": {"columns": ["image"] * 100_000, "data": []}},
        "columns nested": {"input_data": {"columns": [deep], "data": []}},
        "column of an object": {"input_data": {"columns": [{"image": 1}], "data": []}},
        "columns a text": {"input_data": {"columns": "image", "data": [GOOD]}},
        "data an object": {"input_data": {"columns": ["image"], "data": {"0": GOOD}}},
        "rows of 100,000 cells": {"input_data": {"columns": ["image"], "data": [[GOOD] * 100_000]}},
        "rows of different lengths": {"input_data": {"columns": ["image", "x"], "data": [[GOOD], [GOOD, 1, 2], []]}},
        "params nested": {"input_data": good, "params": deeper},
        "threshold of text": {"input_data": good, "params": {"box_score_threshold": "0.5"}},
        "threshold NaN": b'{"input_data":{"columns":["image"],"data":[]},"params":{"box_score_threshold":NaN}}',
        "threshold of 10^400": b'{"input_data":{"columns":["image"],"data":[]},"params":{"box_score_threshold":1e400}}',
        "threshold true": {"input_data": good, "params": {"box_score_threshold": True}},
        "threshold a list": {"input_data": good, "params": {"box_score_threshold": [0.5]}},
        "classes nested": {"input_data": good, "params": {"classes": [deeper]}},
        "class of a megabyte": {"input_data": good, "params": {"classes": ["k" * 1_000_000]}},
        "6,000 classes": {"input_data": good, "params": {"classes": ["can"] * 6000}},
        "class of half a character": b'{"input_data":{"columns":["image"],"data":[]},"params":{"classes":["\\ud800"]}}',
        "detections of 10^400": b'{"input_data":{"columns":["image"],"data":[]},"params":{"max_detections":1'
        + b"0" * 400
        + b"}}",
        "IoU NaN": b'{"input_data":{"columns":["image"],"data":[]},"params":{"nms_iou":NaN}}',
        "unknown key of a megabyte": {"input_data": {**good, "k" * 1_000_000: 1}},
        "unknown keys with line ends": {"input_data": {**good, "a\r\nb\x1b[31m": 1}},
        "input_data twice": b'{"input_data":{"columns":["image"],"data":[]},"input_data":{"columns":["image"],"data":[1]}}',
    }


def _items() -> dict[str, Any]:
    """What stands where an image should."""
    deep: Any = GOOD
    for _ in range(500):
        deep = [deep]
    return {
        "null": None, "true": True, "a number": 5, "a fraction": 1.5, "an object": {"b64": GOOD}, "empty": "",
        "blank": " \n\t", "nested 500 deep": deep, "a list of two": [GOOD, GOOD], "a lone surrogate": "\ud800",
        "a data URI with a lone surrogate": "data:image/png;base64,\ud800AAAA",
        "a data URI with a surrogate in its type": "data:\udfff;base64,AAAA",
        "a data URI without a comma": "data:image/png;base64", "a data URI of nothing": "data:,",
        "a data URI of percent signs": "data:image/png," + "%" * 100_000,
        "a data URI not in base64": "data:image/png,%89PNG", "a data URI in a data URI": "data:image/png;base64,data:,x",
        "a data URI of 10,000 parameters": "data:image/png" + ";a=b" * 10_000 + ";base64,AAAA",
        "base64 of an impossible length": GOOD[: len(GOOD) // 4 * 4 - 3], "base64 with a star": "*" + GOOD[1:],
        "base64 of letters beyond ASCII": "ＡＢＣＤ", "equal signs": "=" * 100_000, "20 MB of A": "A" * 20_000_000,
        "a NUL": "\0", "a path": "/etc/passwd", "a file URL": "file:///etc/passwd", "an FTP URL": "ftp://127.0.0.1/x",
        "a gopher URL": "gopher://127.0.0.1:6379/_INFO", "a JavaScript URL": "javascript:alert(1)",
        "half a PNG": base64.b64encode(strip_png()[:100]).decode(), "text in base64": base64.b64encode(b"text").decode(),
        "a right-to-left override": "\u202egnp.exe", "an escape sequence": "\x1b]0;title\x07",
    }  # fmt: skip


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, contents: bytes) -> bytes:
        return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    more = b"".join(chunk(each[:4], each[4:]) for each in chunks)
    return (
        b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", data or zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def _bombs() -> dict[str, bytes]:
    """Small files that are large images, or claim to be."""
    packed = zlib.compress(bytes(80_000_000), 9)
    # 12 bytes a pixel once decoded, from a few hundred kB.
    floats = Image.fromarray(np.zeros((8000, 12_000), np.float32))
    tall = Image.fromarray(np.zeros((60_000, 1), np.uint8))
    return {
        "PNG that claims 60,000 x 60,000": _png(60_000, 60_000),
        "PNG that claims 2^31-1 squared": _png(2**31 - 1, 2**31 - 1),
        "PNG of no pixels": _png(0, 0),
        "PNG whose data unpacks to 80 MB too much": _png(8, 8, data=packed),
        "PNG with a zTXt of 80 MB": _png(8, 8, b"zTXtk\0\0" + packed),
        "PNG with an iCCP of 80 MB": _png(8, 8, b"iCCPp\0\0" + packed),
        "float TIFF of 96 million pixels": _saved(floats, "TIFF", compression="tiff_adobe_deflate"),
        "GIF whose frame is 60,000 x 60,000": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
        + b"\x21\xf9\x04\x08\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x44\x01\0;",
        "BMP that claims -60,000 lines": b"BM" + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, 60_000, -60_000, 1, 24, 0, 0,
                                                              1, 1, 0, 0) + bytes(150),
        "PNG of noise cut off": _saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)),
                                       "PNG")[:50_000],
        "TIFF that points at itself": b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 8)
        + struct.pack("<I", 8),
        "JPEG of nothing but markers": b"\xff\xd8" + b"\xff\xe1\xff\xff" + bytes(65_533) + b"\xff\xd9",
        "WebP that claims 16,383 squared": b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(12),
        "a strip 60,000 high, two bytes": _saved(tall, "PNG")[:60],
    }  # fmt: skip
