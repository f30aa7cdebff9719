"""Requests and answers of the scoring contract, row by row."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest

from vfnet_client.contract import (
    ImageURL,
    check_content_type,
    decode_image_item,
    error_body,
    parse_score_request,
    partial_failure,
    score_response,
)
from vfnet_client.exceptions import ImageItemError, RequestError
from vfnet_client.score_parameters import NO_PARAMETERS

IMAGE = bytes(range(256)) + b"\xfb\xff\xfe\xff\x00"  # its base64 has + and /, and needs padding
BASE64 = base64.b64encode(IMAGE).decode()


def request(**input_data: Any) -> bytes:
    return json.dumps({"input_data": {"columns": ["image"], **input_data}}).encode()


def refusal(body: bytes | dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        parse_score_request(body)
    return caught.value.status, str(caught.value)


@pytest.mark.parametrize("data", [["a", "b"], [["a"], ["b"]], [["a"], "b"]])
def test_data_may_be_flat_or_nested(data: list[Any]) -> None:
    assert parse_score_request(request(data=data)).items == ["a", "b"]


@pytest.mark.parametrize("absent", [{}, {"index": None}])
def test_without_an_index_positions_name_the_images(absent: dict[str, None]) -> None:
    assert parse_score_request(request(data=["a", "b"], **absent)).index == [0, 1]


@pytest.mark.parametrize("index", [["x", "y"], [3, 3], [7, 900], [1.5, None]])
def test_any_index_values_keep_the_order_of_data(index: list[Any]) -> None:
    parsed = parse_score_request(request(data=["a", "b"], index=index))
    assert (parsed.items, parsed.index) == (["a", "b"], index)


@pytest.mark.parametrize("index", [[], [0], [0, 1, 2]])
def test_an_index_of_another_length_is_refused_with_both_lengths(index: list[int]) -> None:
    status, message = refusal(request(data=["a", "b"], index=index))
    assert status == 400
    assert f'"index" has {len(index)} entries but "data" has 2' in message


@pytest.mark.parametrize("table", [{}, {"data": []}, {"data": None}, {"data": [], "index": []}])
def test_no_data_is_an_empty_request(table: dict[str, Any]) -> None:
    assert parse_score_request(request(**table)).items == []


def test_extra_columns_and_top_level_keys_are_ignored() -> None:
    table = {"columns": ["id", "image"], "data": [[1, "a"], ["b"], "c"]}
    body = {"input_data": table, "params": {"anything": [1]}, "more": None}
    assert parse_score_request(body).items == ["a", "b", "c"]


def test_a_row_that_fits_no_columns_is_refused_with_its_position() -> None:
    status, message = refusal(request(data=["a", ["b", "c"]]))
    assert (status, message) == (400, 'row 1 of "data" has 2 values for 1 columns')


@pytest.mark.parametrize("params", [None, [], "x", {}, {"iou_threshold": 7}, {"box_score_threshold": None}])
def test_other_params_are_ignored(params: Any) -> None:
    assert parse_score_request({"input_data": {"columns": ["image"]}, "params": params}).parameters == NO_PARAMETERS


@pytest.mark.parametrize("threshold", [0, 1, 0.3])
def test_box_score_threshold_is_passed_on(threshold: float) -> None:
    params = {"box_score_threshold": threshold}
    parsed = parse_score_request({"input_data": {"columns": ["image"]}, "params": params})
    assert parsed.parameters.options.score_threshold == threshold


@pytest.mark.parametrize("threshold", ["0.5", True, -0.1, 1.1, float("nan"), float("inf"), [0.5], 10**400])
def test_a_box_score_threshold_that_is_no_number_from_0_to_1_is_refused(threshold: Any) -> None:
    params = {"box_score_threshold": threshold}
    status, message = refusal({"input_data": {"columns": ["image"]}, "params": params})
    assert (status, message) == (400, '"box_score_threshold" must be a number from 0 to 1')


@pytest.mark.parametrize("columns", [{}, {"columns": None}, {"columns": []}, {"columns": ["picture"]}])
def test_a_missing_image_column_is_refused_by_name(columns: dict[str, Any]) -> None:
    status, message = refusal({"input_data": {"data": ["a"], **columns}})
    assert status == 400
    assert '"image"' in message


@pytest.mark.parametrize("key", ["columns", "index", "data"])
@pytest.mark.parametrize("value", ["image", 3, {"image": 1}])
def test_a_part_that_is_no_list_is_refused_by_name(key: str, value: Any) -> None:
    status, message = refusal({"input_data": {"columns": ["image"], "data": [], key: value}})
    assert status == 400
    assert message.startswith(f'"{key}" is ')


@pytest.mark.parametrize(
    "input_data", [None, [], "text", 3, [{"image": "a"}], {"image": ["a"]}, {"columns": ["image"], "name": 1}]
)
def test_another_shape_of_input_data_is_refused_with_what_is_accepted(input_data: Any) -> None:
    status, message = refusal({"input_data": input_data})
    assert status == 400
    assert '"input_data" takes {"columns": ["image"]' in message


@pytest.mark.parametrize("body", [b"{}", b'{"dataframe_split": {"columns": ["image"], "data": []}}'])
def test_no_input_data_is_refused_in_the_words_of_the_original(body: bytes) -> None:
    assert refusal(body) == (400, "A value is not provided for the 'input_data' parameter.")


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"text"'])
def test_a_body_that_is_no_object_is_refused_in_the_words_of_the_original(body: bytes) -> None:
    assert refusal(body) == (400, "POST body should be a JSON dictionary.")


def test_an_empty_body_is_refused_in_the_words_of_the_original() -> None:
    assert refusal(b"") == (400, "POST body is empty. Expecting a JSON dictionary.")


def test_a_body_that_is_not_json_is_refused_in_the_parsers_words() -> None:
    assert refusal(b"{nope") == (400, "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)")


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_body_that_trips_the_parser_is_refused(body: bytes) -> None:
    assert refusal(body)[0] == 400


@pytest.mark.parametrize("value", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_json_content_type_is_accepted(value: str) -> None:
    check_content_type(value)


@pytest.mark.parametrize("value", [None, "", "text/plain", "text/json", "application/jsonp", "application/xml"])
def test_another_content_type_is_refused_in_the_words_of_the_original(value: str | None) -> None:
    with pytest.raises(RequestError, match=r"^Expects Content-Type to be application/json$") as caught:
        check_content_type(value)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "item",
    [
        BASE64,
        BASE64.rstrip("="),
        base64.encodebytes(IMAGE).decode(),
        base64.encodebytes(IMAGE).decode().replace("\n", "\r\n"),
        base64.urlsafe_b64encode(IMAGE).decode(),
        base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
        f"data:image/png;base64,{BASE64}",
        f"DATA:;Base64,{BASE64.rstrip('=')}",
        f"data:image/png;name=a;base64,{BASE64.replace('+', '%2B').replace('=', '%3d')}",
        f"data:;base64,{quote(base64.encodebytes(IMAGE).decode(), safe='')}",
        f"  {BASE64}\n",
    ],
    ids=[
        "standard",
        "unpadded",
        "encodebytes",
        "crlf",
        "urlsafe",
        "urlsafe unpadded",
        "data",
        "DATA",
        "%",
        "% lines",
        "spaces",
    ],
)
def test_every_way_to_write_base64_is_understood(item: str) -> None:
    assert decode_image_item(item) == IMAGE


@pytest.mark.parametrize("url", ["http://host/a.jpg", "HTTPS://my-host/a?b=c", " Http://host\n"])
def test_http_urls_are_left_to_be_fetched(url: str) -> None:
    assert decode_image_item(url) == ImageURL(url.strip())


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "got null"),
        (3, "got a number"),
        (2.5, "got a number"),
        (True, "got a boolean"),
        (["a"], "got a list"),
        ({}, "got an object"),
        ("", "empty"),
        (" \n", "empty"),
        ("data:image/png;base64,", "empty"),
        ("====", "empty"),
        ("b'/9j/4AAQSkZJRg=='", r"it begins with \"b'/9j/4AAQSk\", as Python writes bytes; send image.decode\(\)"),
        ('"/9j/4AAQSkZJRg=="', r"it begins with .*, in quotes of its own; it was written as JSON twice"),
        (
            "/9j/4AAQ\\nSkZJRg==",
            r"it begins with \"/9j/4AAQ.*\" and holds a backslash; its line breaks were escaped twice",
        ),
        ("iVBORw0KGgo%2FAAA=", "is percent-encoded, as for a URL"),
        ("photos/a-1.JPG", "like the path of a file, which is not read from here"),
        ("C:\\photos\\a.png", "like the path of a file"),
        ("data:image/png;base64:iVBORw0KGgo=", 'this begins with "data:image/p'),
        ("data:image/png,iVBORw0KGgo=", 'must read data:<type>;base64,<data>, and this begins with "data:image/p'),
        ("s3://bucket/key?sig=SECRET", 'it begins with "s3://"(,|$)'),
        ("not base64!", "neither base64 nor"),
        ("/tmp/image.jpg.", "neither base64 nor"),
        ("bild\u00e9", "neither base64 nor"),
        ("\ud800", "neither base64 nor"),
        ("AA==AAAA", "neither base64 nor"),
        ("AAAAA", "cannot have this length"),
        ("ftp://host/a.jpg", "neither base64 nor"),
        ("data:image/png,AAAA", "a data URI must read"),
        ("data:image/png;base64", "a data URI must read"),
    ],
)
def test_an_item_that_carries_no_image_is_refused_with_the_reason(item: Any, reason: str) -> None:
    with pytest.raises(ImageItemError, match=reason):
        decode_image_item(item)


SAMPLE = (
    b'{"boxes": [{"box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.8, "bottomY": 0.7}, '
    b'"label": "carton", "score": 0.98}]}'
)


def test_a_response_is_the_documented_sample_byte_for_byte() -> None:
    assert score_response([SAMPLE]) == b"[" + SAMPLE + b"]"
    assert score_response([SAMPLE, SAMPLE]) == json.dumps([json.loads(SAMPLE)] * 2).encode()
    assert score_response([]) == b"[]"


def test_a_partial_failure_carries_positions_indices_reasons_and_every_good_result() -> None:
    body = partial_failure([SAMPLE, None, None], {2: "b", 1: "a"}, ["x", 7, None])
    assert (
        body
        == json.dumps(
            {
                "message": "2 of 3 images could not be read",
                "errors": [
                    {"position": 1, "index": 7, "reason": "a"},
                    {"position": 2, "index": None, "reason": "b"},
                ],
                "results": [json.loads(SAMPLE), None, None],
            }
        ).encode()
    )


@pytest.mark.parametrize("index", [float("inf"), float("nan"), [1], {"a": 2}])
def test_an_index_value_json_has_no_word_for_is_echoed_as_text(index: Any) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(name)

    answer = json.loads(partial_failure([None], {0: "a"}, [index]), parse_constant=no_constant)
    assert answer["errors"][0]["index"] == str(index)
    assert answer["message"] == "1 of 1 image could not be read"


def test_an_error_body_is_one_message() -> None:
    assert error_body(RequestError(400, 'a "b"')) == b'{"message": "a \\"b\\""}'


def test_a_data_uri_of_nothing_but_escapes_takes_little_more_than_its_length() -> None:
    """Of each that is decoded by itself, Python makes an object."""
    item = "data:;base64," + "%2B" * 300_000
    tracemalloc.start()
    try:
        assert decode_image_item(item) == b"\xfb\xef\xbe" * 75_000
        assert tracemalloc.get_traced_memory()[1] < 6 * len(item)
    finally:
        tracemalloc.stop()
    with pytest.raises(ImageItemError, match="neither base64 nor"):  # letters are not escaped by anybody
        decode_image_item(item.replace("2B", "41"))
