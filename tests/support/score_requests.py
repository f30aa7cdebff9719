"""Bodies for /score, of pictures that are quick to detect on."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from PIL import Image

JSON = {"content-type": "application/json"}


def strip_png(shade: int = 0) -> bytes:
    """A gradient, 1333 x 32: the network's resize leaves it small."""
    pixels = np.tile(np.linspace(shade, 255, 1333).astype(np.uint8)[None, :, None], (32, 1, 3))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


GOOD = base64.b64encode(strip_png()).decode()


def table(data: Any, **more: Any) -> dict[str, Any]:
    """`input_data` of these images."""
    return {"columns": ["image"], "data": data, **more}


def score(client: httpx.Client, data: Any, **more: Any) -> httpx.Response:
    """POST these images to /score; `more` goes beside `input_data`."""
    return post(client, {"input_data": table(data), **more})


def post(
    client: httpx.Client, document: Any, path: str = "/score", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """POST a body, given as bytes or to be written as JSON."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return client.post(path, content=content, headers={**JSON, **(headers or {})})
