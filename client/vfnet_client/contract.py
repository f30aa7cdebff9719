"""The scoring contract: what the documented JSON means, both ways. `/score` and `vfnet score` share this page.

A request is `{"input_data": {"columns": ["image"], "index": [...], "data": [...]}, "params": {...}}`, pandas' split
orientation: `data` flat or nested, `index` optional, an entry that is null as good as absent. An answer is a bare
list, one `{"boxes": [...]}` per image in the order of `data`.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vfnet_client.bounded_gzip import MAGIC
from vfnet_client.exceptions import ImageItemError, InvalidImageError, RequestError
from vfnet_client.safe_text import printable_line
from vfnet_client.score_parameters import NO_PARAMETERS, ScoreParameters, read_parameters
from vfnet_images.kinds import HEAD_BYTES, kind_of

IMAGE_COLUMN = "image"
_BASE64_BLOCK = 1 << 20
"""Characters decoded at once (a multiple of 4). Python changes threads only between calls, so that a large image
decoded on a thread of its own leaves the others their turns."""
_SHOWN_CHARACTERS, _LONGEST_SCHEME, _LONGEST_LINE_OF_BASE64 = 12, 20, 1000
_PATH = re.compile(r"[\w./~-]{1,500}\.(?:jpe?g|png|bmp|gif|webp|tiff?)", re.IGNORECASE)
_LONGEST_ECHO = 200
"""Characters of what is no scalar, in an answer."""
_WHITESPACE = b" \t\r\n\v\f"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ESCAPED = {"2B": "+", "2F": "/", "3D": "=", "2D": "-", "5F": "_", "0A": "\n", "0D": "\r", "09": "\t", "20": " "}
"""By what stands behind a percent sign: all that base64 has beside letters and digits, which nobody escapes."""


@dataclass(frozen=True)
class ScoreRequest:
    """A scoring request as understood: one entry of `items` and of `index` per image, in the caller's order."""

    items: list[Any]
    """JSON values, not yet looked at: see `decode_image_item`."""
    index: list[Any]
    """The caller's own names for the images; 0, 1, ... where none were given."""
    parameters: ScoreParameters = NO_PARAMETERS
    """What its `params` want."""


class ScoreReply(NamedTuple):
    """An HTTP status and the JSON body that goes with it."""

    status: int
    body: bytes

    def results(self) -> list[dict[str, Any] | None]:
        """Per image `{"boxes": [...]}`, or None where it could not be read.

        Raises:
            RequestError: there are none; it says what is wrong with the request.
        """
        answer = json.loads(self.body)
        if self.status == 200:
            return list(answer)
        if self.status == InvalidImageError.status:
            return list(answer["results"])
        raise RequestError(self.status, str(answer["message"]))


@dataclass(frozen=True)
class ImageURL:
    """An image that still has to be fetched. Nothing has been checked but the scheme."""

    url: str


def is_url(text: str) -> bool:
    """Whether this is an http(s) URL, in any case of the scheme."""
    return text[:8].lower().startswith(("http://", "https://"))


def check_content_type(content_type: str | None) -> None:
    """Raises `RequestError` 415 unless the header value says JSON."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/(\S+\+)?json", media_type):
        raise RequestError(415, "Expects Content-Type to be application/json")


def parse_score_request(body: bytes | Mapping[str, Any]) -> ScoreRequest:
    """Read the body of a request to `/score`, as bytes or already parsed.

    Raises:
        RequestError: 400, with a sentence that says what is wrong with it.
    """
    return read_score_request(body if isinstance(body, Mapping) else parse_json(body))


def read_score_request(document: Any) -> ScoreRequest:
    """What a parsed body of `/score` asks for. Raises as `parse_score_request` does."""
    if not isinstance(document, Mapping):
        raise RequestError(400, "POST body should be a JSON dictionary.")
    if "input_data" not in document:
        raise RequestError(400, "A value is not provided for the 'input_data' parameter.")
    return _read_table(document, "input_data")


def read_invocation(document: Any) -> ScoreRequest:
    """What a parsed body of MLflow's `/invocations` asks for: `dataframe_split` or `dataframe_records`.

    Raises:
        RequestError: 400, with a sentence that says what is wrong with it.
    """
    if not isinstance(document, Mapping):
        raise RequestError(400, "POST body should be a JSON dictionary.")
    given = [key for key in ("dataframe_split", "dataframe_records") if key in document]
    if len(given) != 1:
        raise RequestError(400, 'the body must have one of "dataframe_split" and "dataframe_records"')
    if given[0] == "dataframe_split":
        return _read_table(document, "dataframe_split")
    records = _list_at(document, "dataframe_records", f'it takes [{{"{IMAGE_COLUMN}": "<base64 or URL>"}}, ...]')
    for position, record in enumerate(records):
        if not isinstance(record, Mapping) or IMAGE_COLUMN not in record:
            raise RequestError(400, f'record {position} of "dataframe_records" has no "{IMAGE_COLUMN}"')
    items = [record[IMAGE_COLUMN] for record in records]
    return ScoreRequest(items, list(range(len(items))), read_parameters(document.get("params")))


def decode_image_item(item: Any) -> bytes | ImageURL:
    """The encoded image an item carries, or where to fetch it.

    Takes base64 with or without newlines and padding, in the standard or the URL-safe alphabet, also as a data URI,
    and http(s) URLs. Whether the bytes are an image is for the server to find out.

    Raises:
        ImageItemError: it is none of these.
    """
    if not isinstance(item, str):
        raise ImageItemError(f"expected base64 text or an http(s) URL, got {_kind(item)}")
    text = item.strip()
    if is_url(text):
        return ImageURL(text)
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ImageItemError(f"a data URI must read data:<type>;base64,<data>, and this begins with {_start(item)}")
        if "%" in text and text.isascii():
            text = _without_escapes(text)
    image = _decode_base64(text)
    if not image:
        raise ImageItemError("the image is empty")
    return image


def score_response(results: Sequence[bytes | None]) -> bytes:
    """The list of a whole request.

    Args:
        results: per image the server's `DETECTIONS`, passed on as it came; None becomes `null`.
    """
    return b"[" + b", ".join(b"null" if result is None else result for result in results) + b"]"


def partial_failure(results: Sequence[bytes | None], reasons: Mapping[int, str], index: Sequence[Any]) -> bytes:
    """The body of a 422: which images could not be read and why, and every good result.

    Args:
        results: per image the server's `DETECTIONS`, None where there is none.
        reasons: by position, why there is none.
        index: the request's own names for the images.
    """
    total = len(results)
    errors = [
        {"position": position, "index": _echo(index[position]), "reason": reason}
        for position, reason in sorted(reasons.items())
    ]
    message = f"{len(errors)} of {total} image{'s' if total != 1 else ''} could not be read"
    head = json.dumps({"message": message, "errors": errors})
    return head[:-1].encode() + b', "results": ' + score_response(results) + b"}"


def error_body(error: Exception) -> bytes:
    """`{"message": "..."}`."""
    return json.dumps({"message": str(error)}).encode()


def parse_json(body: bytes | bytearray) -> Any:
    """The JSON value of a body.

    Raises:
        RequestError: 400, in the parser's words.
    """
    if not body:
        raise RequestError(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        return json.loads(body)
    except UnicodeDecodeError as error:
        kind = kind_of(bytes(body[:HEAD_BYTES]))
        if kind is not None:
            raise RequestError(
                400, f"this is a picture ({kind.name}), not a request, which is JSON that holds pictures in base64"
            ) from error
        if body.startswith(MAGIC):
            raise RequestError(400, "this is gzip, not JSON: send it with Content-Encoding: gzip") from error
        raise RequestError(
            400, f"this is no JSON, which is {error.encoding.upper()} text: byte {error.start} is none of it"
        ) from error
    except ValueError as error:  # also text that is no Unicode, and integers Python refuses to read
        raise RequestError(400, str(error)) from error
    except RecursionError as error:
        raise RequestError(400, "the JSON is nested too deeply") from error


def _read_table(document: Mapping[str, Any], name: str) -> ScoreRequest:
    """The table under `name`, pandas' split orientation."""
    accepted = f'"{name}" takes {{"columns": ["image"], "index": [0, ...], "data": ["<base64 or URL>", ...]}}'
    table = document[name]
    if not isinstance(table, Mapping):
        raise RequestError(400, f'"{name}" is {_kind(table)}; {accepted}')
    unknown = [key for key in table if key not in ("columns", "index", "data")]
    if unknown:
        raise RequestError(400, f'"{name}" has an unknown key {_quote(unknown[0])}; {accepted}')

    columns = _list_at(table, "columns", accepted)
    if IMAGE_COLUMN not in columns:
        raise RequestError(400, f'"columns" has no column "{IMAGE_COLUMN}"; {accepted}')
    column = columns.index(IMAGE_COLUMN)
    data = _list_at(table, "data", accepted)
    items = [_cell(row, position, column, len(columns)) for position, row in enumerate(data)]
    index = list(range(len(items))) if table.get("index") is None else _list_at(table, "index", accepted)
    if len(index) != len(items):
        raise RequestError(400, f'"index" has {len(index)} entries but "data" has {len(items)}')
    return ScoreRequest(items, index, read_parameters(document.get("params")))


def _list_at(table: Mapping[str, Any], key: str, accepted: str) -> list[Any]:
    value = table.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RequestError(400, f'"{key}" is {_kind(value)}, not a list; {accepted}')
    return value


def _cell(row: Any, position: int, column: int, columns: int) -> Any:
    """The image of one entry of `data`: the entry itself, or its cell in the image column."""
    if not isinstance(row, list):
        return row
    if len(row) == columns:
        return row[column]
    if len(row) == 1:
        return row[0]
    raise RequestError(400, f'row {position} of "data" has {len(row)} values for {columns} columns')


def _without_escapes(text: str) -> str:
    """Of percent-encoded base64. Not by `urllib.parse`, which makes a list of all that stands between the escapes: of a
    body of nothing else, a hundred times its memory."""
    for code, character in _ESCAPED.items():
        for written in (code, code.lower()):
            text = text.replace(f"%{written}", character)
    return text


def _decode_base64(text: str) -> bytes:
    try:
        packed = text.encode("ascii").translate(_FROM_URL_SAFE, _WHITESPACE).rstrip(b"=")
        if len(packed) % 4 == 1:
            raise _no_base64(text, ", and base64 cannot have this length; is it cut short?")
        if b"=" in packed:  # one at the end of a block would pass for padding
            raise _no_base64(text, ", and goes on after a = that ends it")
        packed += b"=" * (-len(packed) % 4)
        if len(packed) <= _BASE64_BLOCK:
            return binascii.a2b_base64(packed, strict_mode=True)
        blocks = (packed[start : start + _BASE64_BLOCK] for start in range(0, len(packed), _BASE64_BLOCK))
        return b"".join(binascii.a2b_base64(block, strict_mode=True) for block in blocks)
    except ValueError as error:  # binascii.Error and UnicodeEncodeError are both
        raise _no_base64(text) from error


def _no_base64(text: str, else_: str = "") -> ImageItemError:
    """Why a text is refused: what it seems to be, else `else_`, and how it begins."""
    return ImageItemError(f"neither base64 nor an http(s) URL: it begins with {_start(text)}{_misread(text) or else_}")


def _misread(text: str) -> str | None:
    """What a program made of base64 on its way, where that can be told."""
    if text[:2] in ("b'", 'b"'):
        return ", as Python writes bytes; send image.decode() instead of str(image)"
    if text[:1] in ("'", '"'):
        return ", in quotes of its own; it was written as JSON twice"
    if text[:7].lower() == "file://" or text[1:3] == ":\\" or _PATH.fullmatch(text):
        return ", like the path of a file, which is not read from here; send what the file holds"
    if "\\" in text[:_LONGEST_LINE_OF_BASE64]:
        return " and holds a backslash; its line breaks were escaped twice"
    if "%2B" in text or "%2F" in text:
        return " and is percent-encoded, as for a URL"
    return None


def _start(text: str) -> str:
    """The first characters, as a person can find them; of another scheme's URL, which may hold a secret, its scheme."""
    scheme, separator, _ = text[:_LONGEST_SCHEME].partition("://")
    return json.dumps(printable_line(f"{scheme}://" if separator else text[:_SHOWN_CHARACTERS], 40))


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else "a number")


def _quote(key: Any) -> str:
    text = json.dumps(str(key)[:_LONGEST_ECHO])
    return text if len(text) <= 60 else f'{text[:60]}..."'


def _echo(value: Any) -> Any:
    """An entry of `index` as it may appear in an answer: JSON has no infinity, and only scalars name a row."""
    if isinstance(value, str):  # a lone surrogate is no text, and strict parsers refuse an answer that has one
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    try:
        return printable_line(str(value), _LONGEST_ECHO)
    except RecursionError:
        return "a value that is nested too deeply to be shown"
