"""`/review`: the page's files, which anybody may load, and captured images, for reviewers with a key."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from vfnet_capture.captured_image import (
    ACCEPTED,
    BEGUN,
    LEFT_OUT,
    CapturedImage,
    RecordError,
    Review,
    labels_from_person,
)
from vfnet_capture.layout import is_id
from vfnet_capture.store import CaptureStore, ChangedError
from vfnet_client.bounded_json import parse_json
from vfnet_client.exceptions import RequestError, ServerUnavailableError
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.review.queue import ReviewQueue
from vfnet_gateway.ui_routes import page_routes

T = TypeVar("T")

_LARGEST_SAVE = 1 << 20
"""Bytes: a thousand boxes have a fifth of that."""
_MOST_VALUES = 20_000
_MOST_LISTED = 500
_LONGEST_NAME = 100
_STATES = (ACCEPTED, BEGUN, LEFT_OUT)
_PICTURE_HEADERS = {
    "cache-control": "no-store",
    "content-disposition": "attachment",
    "content-security-policy": "sandbox; default-src 'none'",
}


@dataclass(frozen=True)
class ReviewRoutes:
    """The routes.

    Args:
        classes: the served model's, so far as they are known here.
    """

    store: CaptureStore
    queue: ReviewQueue
    keys: KeyRing
    bodies: BodyReader
    classes: Callable[[], Sequence[str]]

    def routes(self) -> list[BaseRoute]:
        """For the application's table."""
        return [
            Route("/review/images", self.listing),
            Route("/review/images/{image_id}", self.image, methods=["GET"]),
            Route("/review/images/{image_id}", self.save, methods=["PUT"]),
            Route("/review/images/{image_id}/picture", self.picture),
            *page_routes("/review", Path(__file__).with_name("page")),
        ]

    async def listing(self, request: Request) -> Response:
        """Those to be looked at, the least certain first; `?state=` names others, `?limit=` how many."""
        self._check_key(request)
        state = request.query_params.get("state", "open")
        if state not in ("open", ACCEPTED, LEFT_OUT, "all"):
            raise RequestError(400, f"state is open, {ACCEPTED}, {LEFT_OUT} or all")
        limit = request.query_params.get("limit", str(_MOST_LISTED))
        if not limit.isdecimal() or len(limit) > 9 or not 1 <= int(limit) <= _MOST_LISTED:
            raise RequestError(400, f"limit is a number from 1 to {_MOST_LISTED}")
        found = await self._of_the_store(lambda: self.queue.look(self.classes()))
        return JSONResponse(found.listing(state, int(limit)), headers={"cache-control": "no-store"})

    async def image(self, request: Request) -> Response:
        """One record, with its version as the entity tag."""
        self._check_key(request)
        image = await self._find(request)
        return _record(image)

    async def picture(self, request: Request) -> Response:
        """The image as its caller sent it, to be read by the page and by nothing else."""
        self._check_key(request)
        image = await self._find(request)
        try:
            content = await self._of_the_store(lambda: self.store.picture(image))
        except FileNotFoundError as error:
            raise _is_gone() from error
        return Response(content, media_type="application/octet-stream", headers=_PICTURE_HEADERS)

    async def save(self, request: Request) -> Response:
        """`{"label": [...], "state": ..., "by": ...}` in the place of the version that If-Match names.

        409 where another version is there; the answer is that one.
        """
        try:
            self._check_key(request)
            version = _version_in(request.headers.get("if-match"))
        except RequestError:
            await self.bodies.refuse_unread(request.headers, request.receive)
            raise
        async with self.bodies.reading(request.headers, request.receive, most=_LARGEST_SAVE) as body:
            labels, state, by = _understood(bytes(body))
        image = await self._find(request)
        if image.version != version:
            return _record(image, 409)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        changed = image.reviewed(labels, Review(state, now, by))
        try:
            await self._of_the_store(lambda: self.store.save(changed))
        except ChangedError as error:
            return _record(error.image, 409)
        except FileNotFoundError as error:
            raise _is_gone() from error
        return _record(changed)

    async def _find(self, request: Request) -> CapturedImage:
        image_id = request.path_params["image_id"]
        image = await self._of_the_store(lambda: self.store.find(image_id)) if is_id(image_id) else None
        if image is None:
            raise _is_gone()
        return image

    async def _of_the_store(self, work: Callable[[], T]) -> T:
        """Away from the event loop: a store may be slow."""
        try:
            return await asyncio.to_thread(work)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RequestError(507, "the disk of the captured images is full: nothing was saved") from error
            raise ServerUnavailableError(f"the captured images cannot be reached: {error.strerror or error}") from error

    def _check_key(self, request: Request) -> None:
        self.keys.check(request.headers.get("authorization"))


def _record(image: CapturedImage, status: int = 200) -> Response:
    headers = {"etag": f'"{image.version}"', "cache-control": "no-store"}
    return Response(orjson.dumps(image.to_json()), status, headers, media_type="application/json")


def _version_in(if_match: str | None) -> int:
    if if_match is None:
        raise RequestError(428, "If-Match is missing: say which version was looked at, by its ETag")
    text = if_match.strip().removeprefix('"').removesuffix('"')
    if not text.isdecimal() or len(text) > 9:
        raise RequestError(400, "If-Match is no version: send the ETag of what was looked at")
    return int(text)


def _understood(body: bytes) -> tuple[tuple[Any, ...], str, str]:
    try:
        fields = parse_json(body, _MOST_VALUES, _MOST_VALUES)
        if not isinstance(fields, dict):
            raise RequestError(400, "a save is a JSON object with label and state")
        labels = labels_from_person(fields.get("label"))
    except RecordError as error:
        raise RequestError(400, str(error)) from error
    except (ValueError, json.JSONDecodeError) as error:
        raise RequestError(400, "a save is a JSON object with label and state") from error
    state, by = fields.get("state"), fields.get("by", "")
    if state not in _STATES:
        raise RequestError(400, f"state is one of {', '.join(_STATES)}")
    if not isinstance(by, str) or len(by) > _LONGEST_NAME or not (by.isprintable() or not by):
        raise RequestError(400, f"by is a name of at most {_LONGEST_NAME} printable characters")
    return labels, state, by


def _is_gone() -> RequestError:
    return RequestError(404, "there is no such image: it was removed, because of its age or because it was forgotten")
