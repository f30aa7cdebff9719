"""A request of the scoring contract -> what became of each of its images."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vfnet_client import contract
from vfnet_client.contract import ImageURL, ScoreReply, ScoreRequest
from vfnet_client.exceptions import InvalidImageError, InvalidOptionsError, RequestError
from vfnet_client.safe_text import printable_line
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_mlflow.detector import FolderDetector
from vfnet_runtime.suppression import Suppression

_LONGEST_REASON = 300
"""Characters, as in the gateway's answers."""
_USER_AGENT = "vfnet-mlflow"


@dataclass
class Answers:
    """Of the images of one request, in its order."""

    results: list[bytes | None] = field(default_factory=list)
    """`{"boxes": [...]}`; None where there is a reason instead."""
    reasons: dict[int, str] = field(default_factory=dict)
    """By position, why an image could not be read."""


class FolderScorer:
    """Answers whole requests as `/score` does. For several threads.

    Args:
        folder, threads: see `FolderDetector`.
        allow_urls_to: hosts, addresses and networks that are not public and that images may be fetched from.

    Raises:
        ValueError: an entry of `allow_urls_to` is none; and what `FolderDetector` raises.
    """

    def __init__(self, folder: Path, threads: int = 0, allow_urls_to: Sequence[str] = ()) -> None:
        self._policy = AddressPolicy.allowing(allow_urls_to)
        self._detector = FolderDetector(folder, threads)

    def answer(self, request: ScoreRequest) -> Answers:
        """Detect on every image of a request; one that cannot be read costs no other its answer.

        Raises:
            InvalidOptionsError: of the whole request.
        """
        if request.parameters.tiling is not None:
            raise InvalidOptionsError("this model detects in whole images only: leave out what asks for tiles")
        answers = Answers()
        one = partial(self._answer_one, suppression=self._detector.suppression(request.parameters.options))
        for position, found in enumerate(self._detector.images.map(one, request.items)):
            if isinstance(found, InvalidImageError):
                answers.reasons[position] = printable_line(str(found), _LONGEST_REASON)
            answers.results.append(None if isinstance(found, InvalidImageError) else found)
        return answers

    def score(self, document: Any) -> ScoreReply:
        """What `POST /score` answers to a parsed body."""
        try:
            request = contract.read_score_request(document)
            answers = self.answer(request)
        except RequestError as error:
            return ScoreReply(error.status, contract.error_body(error))
        if answers.reasons:
            body = contract.partial_failure(answers.results, answers.reasons, request.index)
            return ScoreReply(InvalidImageError.status, body)
        return ScoreReply(200, contract.score_response(answers.results))

    def _answer_one(self, item: Any, suppression: Suppression) -> bytes | InvalidImageError:
        """Of one item: encoded bytes, or what the contract calls an image."""
        try:
            image = item if isinstance(item, bytes) else contract.decode_image_item(item)
            return self._detector.detect(self._fetch(image.url) if isinstance(image, ImageURL) else image, suppression)
        except InvalidImageError as error:
            return error

    def _fetch(self, url: str) -> bytes:
        """Raises InvalidImageError: it may not be fetched, or did not come."""
        from vfnet_client.url_images.url_images import URLImageFetcher  # httpx, for this alone

        async def fetch() -> bytes:
            fetcher = URLImageFetcher(self._policy, user_agent=_USER_AGENT)
            try:
                return await fetcher.fetch(url)
            finally:
                await fetcher.close()

        return asyncio.run(fetch())
