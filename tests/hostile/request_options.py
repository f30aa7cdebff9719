"""What a request wants of its boxes, as nobody means it: the options' tensors, `params`, and all of it at once."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from attack import (
    DOOR,
    TRITON,
    Allowed,
    Attack,
    AttackList,
    Reply,
    answered,
    answered_or_busy,
    anything,
    call,
    grpc_call,
    grpc_port,
    http,
    post_json,
    refused,
)
from malformed_tensors import Tensors, image_request, postprocess_request, refused_by_parser
from score_requests import GOOD
from sweeping import SWEPT, Case, Send, at_once, sweep

_NUMBERS = {"SCORE_THRESHOLD": "FP32", "NMS_IOU": "FP32", "MAX_DETECTIONS": "INT32"}
_CLASSES = 4
"""Of the suite's checkpoint, and of the demonstration's: can, carton, milk bottle, water bottle."""
_ROOM_BY_SHAPE = (
    "Triton's HTTP server (2.51) makes room for as many numbers as an input's shape says before it looks at its JSON"
)
_FORMS = ("gRPC", "binary", "JSON")


def option_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("options")
    for kind, make in {"vfnet": image_request, "vfnet_postprocess": postprocess_request}.items():
        for name, cases in _tensors(make).items():
            for target in (TRITON, DOOR) if kind == "vfnet" else (TRITON,):
                for form in _FORMS:
                    found.add(f"{kind}: {name}, {form}", target, sweep(_in_form(cases, target, form)), **SWEPT)
    for name, tensors in _large(image_request):
        for target in (TRITON, DOOR):
            found.add(f"vfnet: {name}, gRPC", target, _large_call(target, tensors), allowed=refused, is_quick=False)
    for target in (TRITON, DOOR):
        found.add("contents of another field", target, sweep(_other_fields(target)), **SWEPT)
        found.add("numbers in JSON", target, sweep(_rest_numbers(target)), **SWEPT)
    for path, table in _TABLES.items():
        for name, documents in _params().items():
            found.add(f"{path}: params, {name}", DOOR, sweep(_posted(path, table, documents, refused)), **SWEPT)
        found.add(f"{path}: params that are odd", DOOR, sweep(_posted(path, table, _odd_params(), answered)), **SWEPT)  # fmt: skip
        for name, text in _long_params():
            found.add(f"{path}: params, {name}", DOOR, http(DOOR, partial(_body_with, path, table, text), 60))
    image = {"name": "IMAGE", "datatype": "BYTES", "shape": [1], "data": ["x"]}
    for shape in ([2**29], [2**62], [2**32, 2**32], [-(2**63)]):
        claims = {"name": "NMS_IOU", "datatype": "FP32", "shape": shape, "data": [0.5]}
        data = post_json("/v2/models/vfnet/infer", {"inputs": [image, claims]})
        found.add(f"JSON that claims {shape} numbers", DOOR, http(DOOR, data))
        found.add(f"JSON that claims {shape} numbers", TRITON, http(TRITON, data, 60), allowed=anything,
                  why_not_mended=_ROOM_BY_SHAPE, is_quick=False)  # fmt: skip
    _add_many_at_once(found)
    return found.attacks


def _large_call(target: str, make: Callable[[], Tensors]) -> Send:
    """One whose megabytes are made when it is sent."""
    return lambda deployment: call(grpc_port(deployment, target), "ModelInfer", make().as_grpc())


def _in_form(cases: list[tuple[str, Tensors, Allowed]], target: str, form: str) -> list[Case]:
    made: list[Case] = []
    for name, tensors, allowed in cases:
        if (
            form == "JSON"
            and target == TRITON
            and any(max(shape, default=0) > 2**20 for *_, shape, _ in tensors.inputs)
        ):
            continue  # see `_ROOM_BY_SHAPE`
        if form == "gRPC":
            made.append((name, grpc_call(target, "ModelInfer", tensors.as_grpc()), allowed))
            continue
        by_http = _either if target == TRITON and allowed is refused else allowed
        if form == "JSON":
            # JSON's numbers are other ones: what is too short or too precise for a float is none there.
            by_http = _answered_or_parser
        data = tensors.as_binary_http() if form == "binary" else tensors.as_json_http()
        made.append((name, http(target, data), by_http))
    return made


def _either(reply: Reply) -> bool:
    return refused(reply) or refused_by_parser(reply)


def _answered_or_parser(reply: Reply) -> bool:
    return answered(reply) or refused_by_parser(reply)


def _tensors(make: Callable[[], Tensors]) -> dict[str, list[tuple[str, Tensors, Allowed]]]:
    """By what is wrong with them, requests that are otherwise good."""

    def tensor(name: str, datatype: str, shape: list[int], value: Any) -> Tensors:
        return make().add(name, value, datatype, shape)

    types, shapes, values = [], [], []
    for name, datatype in _NUMBERS.items():
        good = struct.pack("<f", 0.5) if datatype == "FP32" else struct.pack("<i", 5)
        for other, size in (("BOOL", 1), ("UINT8", 1), ("INT8", 1), ("FP16", 2), ("BF16", 2), ("INT64", 8), ("FP64", 8),
                            ("UINT32", 4), ("BYTES", 5), ("INT32" if datatype == "FP32" else "FP32", 4)):  # fmt: skip
            value = b"\1\0\0\0x" if other == "BYTES" else (good * 2)[:size]
            types.append((f"{name} as {other}", tensor(name, other, [1], value), refused))
        types += [
            (f"{name} of {size} bytes", tensor(name, datatype, [1], (good * 3)[:size]), refused)
            for size in (0, 1, 3, 5, 8)
        ]
        for shape in ([0], [2], [1, 1], [], [-1], [2**31], [2**62], [2**32, 2**32], [-(2**63)]):
            size = 8 if shape == [2] else 0 if shape == [0] else 4
            shapes.append((f"{name} of shape {shape}", tensor(name, datatype, shape, (good * 2)[:size]), refused))
        twice = make().add(name, np.frombuffer(good, "<f4" if datatype == "FP32" else "<i4"))
        twice.inputs.append(twice.inputs[-1])
        shapes.append((f"{name} twice", twice, refused))
    for name in ("SCORE_THRESHOLD", "NMS_IOU"):
        for word, expected in _FLOATS.items():
            values.append((f"{name} {word:#010x}", tensor(name, "FP32", [1], struct.pack("<I", word)), expected))
    for count, expected in {-1: refused, 0: refused, 1: answered, 1000: answered, 1001: refused, 2**31 - 1: refused,
                            -(2**31): refused, 2**30: refused}.items():  # fmt: skip
        values.append(
            (f"{count} detections", tensor("MAX_DETECTIONS", "INT32", [1], struct.pack("<i", count)), expected)
        )
    classes = [
        (f"classes {name}", tensor("CLASSES", "BYTES", [len(names)] if shape is None else shape, names), expected)
        for name, names, shape, expected in _class_lists()
    ]
    every = make()
    for name, datatype, value in (("SCORE_THRESHOLD", "FP32", struct.pack("<f", 1e-45)), ("CLASSES", "BYTES", [b"can", b"3"]),
                                  ("MAX_DETECTIONS", "INT32", struct.pack("<i", 1000)),
                                  ("NMS_IOU", "FP32", struct.pack("<f", 1.0))):  # fmt: skip
        every.add(name, value, datatype, [2] if name == "CLASSES" else [1])
    values.append(("all of them", every, answered))
    return {"types": types, "shapes": shapes, "values": values, "classes": classes}


_FLOATS: dict[int, Allowed] = {
    0x00000000: answered, 0x80000000: answered, 0x00000001: answered, 0x007FFFFF: answered, 0x3F800000: answered,
    0x80000001: refused, 0x807FFFFF: refused, 0x3F800001: refused, 0x7F7FFFFF: refused, 0xFF7FFFFF: refused,
    0x7F800000: refused, 0xFF800000: refused, 0x7FC00000: refused, 0xFFC00000: refused, 0x7F800001: refused,
    0x7FFFFFFF: refused,
}  # fmt: skip
"""Bits of an FP32 that is to lie from 0 to 1: zeros, subnormals, what lies just outside, infinities, every kind of NaN."""


def _class_lists() -> Iterator[tuple[str, Any, list[int] | None, Allowed]]:
    yield from (
        ("by number", [b"0", b"1", b"2", b"3"], None, answered),
        ("four times the same", [b"can"] * _CLASSES, None, answered),
        ("one too many", [b"0", b"1", b"2", b"3", b"can"], None, refused),
        ("none", [], None, refused),
        ("none, of two dimensions", [b"can"], [1, 1], refused),
        ("of shape [2, 2]", [b"can"] * 4, [2, 2], refused),
        ("of no dimension", [b"can"], [], refused),
        ("of shape -1", [b"can"], [-1], refused),
        ("of shape 2^40", [b"can"], [2**40], refused),
        ("fewer than their shape says", [b"can"], [3], refused),
        ("more than their shape says", [b"can"] * 3, [1], refused),
        ("cut off in a length", b"\x03\0\0", [1], refused),
        ("cut off in a text", b"\x03\0\0\0ca", [1], refused),
        ("of a length of 2^32-1", b"\xff\xff\xff\xffcan", [1], refused),
        ("of bytes that follow", b"\x03\0\0\0can\0", [1], refused),
    )
    for text in (b"", b"4", b"-1", b"+1", b" 0", b"0 ", b"0x1", b"1e0", b"1.0", b"9" * 500, "٣".encode(), "３".encode(), b"can\0",
                 b"\0", b"CAN", b"can ", b"\xef\xbb\xbfcan", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3",
                 "c\u0430n".encode(), "\u202ecan".encode(), b"'); DROP TABLE", b"../../etc/passwd", b"${jndi:ldap://x}",
                 b"%s%n%x", b"x" * 501, "\ufdfa".encode() * 100_000, b"\n" * 1000, b'", "about": {'):  # fmt: skip
        yield f"{text[:12]!r}, {len(text)} bytes", [text], None, refused
    yield "'00'", [b"00"], None, answered


def _large(make: Callable[[], Tensors]) -> list[tuple[str, Callable[[], Tensors]]]:
    def classes(names: list[bytes] | bytes, count: int) -> Callable[[], Tensors]:
        return lambda: make().add("CLASSES", names, "BYTES", [count])

    return [
        ("5,000 classes of 500 letters", classes([b"k%499d" % i for i in range(5000)], 5000)),
        ("500,000 empty classes", classes(bytes(2_000_000), 500_000)),
        ("4,000,000 empty classes", classes(bytes(16_000_000), 4_000_000)),
        ("3,000,000 classes of two letters", classes(b"\2\0\0\0ab" * 3_000_000, 3_000_000)),
        ("a class of 20 MB", classes([b"K" * 20_000_000], 1)),
        ("a class of 10 MB that grows when compared", classes(["\ufdfa".encode() * 3_000_000], 1)),
        ("threshold of 4,000,000 numbers",
         lambda: make().add("SCORE_THRESHOLD", np.full(4_000_000, 0.5, np.float32))),
        ("IoU of 20 MB in one", lambda: make().add("NMS_IOU", bytes(20_000_000), "FP32", [1])),
    ]  # fmt: skip


def _other_fields(target: str) -> list[Case]:
    """gRPC's typed contents, where each datatype has a field of its own."""
    cases: list[Case] = []
    for name, datatype in (*_NUMBERS.items(), ("CLASSES", "BYTES")):
        for field, value in (("fp32_contents", [0.5]), ("int_contents", [5]), ("int64_contents", [5]), ("bool_contents", [True]),
                             ("bytes_contents", [b"can"]), ("fp64_contents", [0.5]), ("fp32_contents", [0.5] * 200_000),
                             ("int_contents", [1] * 200_000), ("bytes_contents", [b""] * 200_000)):  # fmt: skip
            message = image_request().as_grpc()
            image = message.raw_input_contents.pop()
            message.inputs[0].contents.bytes_contents.append(image[4:])
            entry = message.inputs.add(name=name, datatype=datatype, shape=[1])
            getattr(entry.contents, field).extend(value)
            send = grpc_call(target, "ModelInfer", message)
            cases.append((f"{name} in {field}, {len(value)}", send, _answered_or_parser))
        message = image_request().as_grpc()
        entry = message.inputs.add(name=name, datatype=datatype, shape=[1])
        entry.parameters["shared_memory_region"].string_param = "r"
        entry.parameters["shared_memory_byte_size"].int64_param = 4
        cases.append((f"{name} in shared memory", grpc_call(target, "ModelInfer", message), _either))
    return cases


def _rest_numbers(target: str) -> list[Case]:
    """JSON's own numbers, in KServe's form."""
    image = {
        "name": "IMAGE",
        "datatype": "BYTES",
        "shape": [1],
        "data": [GOOD],
        "parameters": {"content_type": "base64"},
    }
    cases: list[Case] = []
    for name, datatype in _NUMBERS.items():
        for text in _NO_COUNTS if name == "MAX_DETECTIONS" else _NO_FRACTIONS:
            option = json.dumps({"name": name, "datatype": datatype, "shape": [1], "data": ["?"]}).replace('"?"', text)
            data = f'{{"inputs": [{json.dumps(image)}, {option}]}}'.encode()
            send = http(target, post_json("/v2/models/vfnet/infer", data))
            cases.append((f"{name} {text[:40]}", send, refused if target == DOOR else _answered_or_parser))
    return cases


_TABLES = {"/score": "input_data", "/invocations": "dataframe_split"}
_GOOD_TABLE = json.dumps({"columns": ["image"], "data": [GOOD]})
_EMPTY_TABLE = '{"columns": ["image"], "data": []}'


def _body_with(path: str, table: str, params: str, rows: str = _GOOD_TABLE) -> bytes:
    return post_json(path, f'{{"{table}": {rows}, "params": {params}}}'.encode("utf-8", "surrogatepass"))


def _posted(path: str, table: str, params: list[str], allowed: Allowed) -> list[Case]:
    return [(text[:80], http(DOOR, _body_with(path, table, text)), allowed) for text in params]


_NO_FRACTIONS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-1e-300", "1.0000000000000002", "2", "-1", "1" + "0" * 400,
                 "true", '"0.5"', "[]", "[0.5]", "{}", '""', '"\\u0000"')  # fmt: skip
_NO_COUNTS = ("0", "-1", "1001", "2147483647", "2147483648", "18446744073709551616", "1" + "0" * 400, "NaN", "true",
              '"5"', "[5]", "{}")  # fmt: skip
_NO_CLASSES = ('"can"', "[]", "{}", '{"can": 1}', "3", "true", "NaN", "[null]", "[true]", "[-1]", "[1e400]", "[4]", "[[0]]",
               '[{"can": 0}]', '[""]', '["\\ud800"]', '["can", "\\udfff"]', '["can\\u0000"]', "[18446744073709551616]",
               "[1" + "0" * 400 + "]", '["0x1"]', '["\\u0663"]', '["can", 9]', '["' + "k" * 501 + '"]')  # fmt: skip


def _params() -> dict[str, list[str]]:
    """By subject, `params` that are refused."""
    fractions = [
        f'{{"{key}": {value}}}'
        for key in ("nms_iou", "score_threshold", "box_score_threshold")
        for value in _NO_FRACTIONS
    ]
    return {
        "fractions": fractions,
        "counts": [f'{{"max_detections": {value}}}' for value in _NO_COUNTS],
        "classes": [f'{{"classes": {value}}}' for value in _NO_CLASSES],
        "together": [
            '{"score_threshold": 0.1, "box_score_threshold": 0.2}',
            '{"classes": ["can"], "max_detections": 5, "nms_iou": 2}',
            '{"nms_iou": 0.5, "nms_iou": 7}',
        ],
    }


def _odd_params() -> list[str]:
    """Served or refused: what says nothing, and what is hardly meant."""
    return [
        "null", "5", '"text"', "[]", "[[]]", "true", "{}", '{"nms_iou": null, "classes": null, "max_detections": null}',
        '{"Nms_Iou": 9}', '{"nms_iou ": 9}', '{"nms_iou\\u0000": 9}', '{"n\\u006ds_iou": 0.5}', '{"__proto__": {"nms_iou": 9}}',
        '{"nms_iou": -0.0}', '{"nms_iou": 0}', '{"nms_iou": 1}', '{"nms_iou": 5e-324}', '{"score_threshold": 1}',
        '{"score_threshold": 0.9999999999999999}', '{"classes": [0, 1, 2, 3]}', '{"classes": [0, 0, "0", "can"]}',
        '{"max_detections": 1}', '{"max_detections": 1000, "nms_iou": 1, "score_threshold": 0}',
        '{"nms_iou": 7, "nms_iou": 0.5}', "{" + ", ".join(f'"k{i}": {i}' for i in range(3000)) + "}",
        '{"' + "k" * 1_000_000 + '": 1}', '{"params": ' * 40 + "1" + "}" * 40,
    ]  # fmt: skip


def _long_params() -> list[tuple[str, str]]:
    """Small requests and large ones whose reading could take long; all are refused."""
    classes = ", ".join(f'"{i:0500d}"' for i in range(5000))
    return [
        ("5,000 classes of 500 digits", f'{{"classes": [{classes}]}}'),
        ("a class of 30 million letters that are not printed", '{"classes": ["' + "\ue000" * 10_000_000 + '"]}'),
        ("a class of escapes", '{"classes": ["' + "\\u0001" * 4_000_000 + '"]}'),
        ("70,000 classes", '{"classes": [' + "0," * 69_999 + "0]}"),
        ("60,000 lists for classes", '{"classes": [' + "[]," * 29_999 + "[]]}"),
    ]


def _add_many_at_once(found: AttackList) -> None:
    """What is small alone, from many callers at once, while the memory is watched."""
    classes = ", ".join(f'"{i:0500d}"' for i in range(5000))
    body = _body_with("/score", "input_data", f'{{"classes": [{classes}]}}')
    found.add(
        "60 callers with 5,000 classes each", DOOR, at_once([http(DOOR, body, 60)] * 60, _refused_or_busy), **SWEPT
    )
    message = image_request().add("CLASSES", [b"k%499d" % i for i in range(5000)], "BYTES", [5000]).as_grpc()
    for target in (DOOR, TRITON):
        found.add("60 calls with 5,000 classes each", target,
                  at_once([grpc_call(target, "ModelInfer", message)] * 60, _refused_or_busy), **SWEPT)  # fmt: skip
    rows = json.dumps({"columns": ["image"], "data": [GOOD] * 20})
    everything = '{"max_detections": 1000, "nms_iou": 1, "score_threshold": 0}'
    body = _body_with("/score", "input_data", everything, rows)
    found.add(
        "6 callers who want all boxes of 20 images",
        DOOR,
        at_once([http(DOOR, body, 90)] * 6, answered_or_busy),
        **SWEPT,
    )
    wrong = image_request().add("NMS_IOU", np.full(1, math.nan, np.float32)).as_grpc()
    for target in (DOOR, TRITON):
        found.add("200 calls that are refused at the last step", target,
                  at_once([grpc_call(target, "ModelInfer", wrong)] * 200, _refused_or_busy), **SWEPT)  # fmt: skip


def _refused_or_busy(reply: Reply) -> bool:
    return reply.outcome[:1] != "2" and reply.outcome != "OK" and answered_or_busy(reply)
