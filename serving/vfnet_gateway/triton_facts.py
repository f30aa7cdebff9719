"""What Triton tells of its models: how long each stage took so far, and the checkpoint's settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_client.grpc_transport import CHANNEL_ARGUMENTS
from vfnet_client.model_names import STEPS
from vfnet_client.servers.addresses import ServerAddresses
from vfnet_client.transport import parse_server_url, server_urls

T = TypeVar("T")
_PATIENCE_S = 3.0
_SILENT_FOR_S = 10.0
"""One of several servers that did not answer is not asked for so long, so that nobody waits for it each time."""


class TritonFacts:
    """Asks one Triton over gRPC, or several that serve the same; to be used by one event loop."""

    def __init__(self, server: str | Sequence[str]) -> None:
        self._addresses = ServerAddresses(server_urls(server))
        self._clients: dict[str, tritonclient.grpc.aio.InferenceServerClient] = {}
        self._silent_until: dict[str, float] = {}

    async def stages(self, model: str) -> dict[str, dict[str, int]]:
        """By step, since Triton loaded it: `count` of images, `queue_ns` and `compute_ns` of all of them together.

        Args:
            model: whose ensemble it is; its steps are those of what is deployed now.

        Raises:
            ServerUnavailableError: Triton does not answer, or has no such model.
        """
        return {step: await self._statistics(step) for step in await self._steps(model)}

    async def settings(self, model: str) -> dict[str, float | int | None]:
        """The checkpoint's `score_threshold` and `max_per_img`. Raises as `stages` does."""
        _, detector, postprocess = [await self._parameters(step) for step in await self._steps(model)]
        threshold, most = detector.get("score_threshold"), postprocess.get("max_per_img")
        return {
            "score_threshold": None if threshold is None else float(threshold),
            "max_per_img": None if most is None else int(most),
        }

    async def close(self) -> None:
        """Give the connections back."""
        for client in self._clients.values():
            await client.close()

    async def statistics(self, model: str) -> list[Any]:
        """Triton's own `ModelStatistics` of every version of a model, of all servers. Raises as `stages` does."""
        answers = await self._of_each(
            f"no statistics of {model}",
            lambda client: client.get_inference_statistics(model, client_timeout=_PATIENCE_S),
        )
        return [entry for answer in answers for entry in answer.model_stats]

    async def _statistics(self, model: str) -> dict[str, int]:
        totals = [entry.inference_stats for entry in await self.statistics(model)]
        parts = [part for s in totals for part in (s.compute_input, s.compute_infer, s.compute_output)]
        return {
            "count": sum(s.success.count for s in totals),
            "queue_ns": sum(s.queue.ns for s in totals),
            "compute_ns": sum(part.ns for part in parts),
        }

    async def _steps(self, model: str) -> list[str]:
        """Preprocessing, detector and postprocessing."""
        steps = [step.model_name for step in (await self._config(model)).ensemble_scheduling.step]
        if len(steps) != len(STEPS):
            raise ServerUnavailableError(f"{model} at Triton is not the ensemble of a detector")
        return steps

    async def _parameters(self, model: str) -> dict[str, str]:
        config = await self._config(model)
        return {name: parameter.string_value for name, parameter in config.parameters.items()}

    async def _config(self, model: str) -> Any:
        answers = await self._of_each(
            f"no configuration of {model}",
            lambda client: client.get_model_config(model, client_timeout=_PATIENCE_S),
        )
        return answers[0].config

    async def _of_each(self, failure: str, ask: Callable[[Any], Awaitable[T]]) -> list[T]:
        """The answers of the servers that answer.

        Raises:
            ServerUnavailableError: none does.
        """
        urls, now = await self._addresses.find(), monotonic()
        asked = [url for url in urls if self._silent_until.get(url, 0.0) <= now] or urls
        found = await asyncio.gather(*(ask(self._client(url)) for url in asked), return_exceptions=True)
        answers, reasons = list[T](), list[BaseException]()
        for url, each in zip(asked, found, strict=True):
            if isinstance(each, InferenceServerException):
                reasons.append(each)
                self._silent_until[url] = now + _SILENT_FOR_S
            elif isinstance(each, BaseException):
                raise each
            else:
                answers.append(each)
        if not answers:
            raise ServerUnavailableError(f"{failure}: {reasons[0]}")
        return answers

    def _client(self, url: str) -> Any:
        if url not in self._clients:
            parts = parse_server_url(url)
            self._clients[url] = tritonclient.grpc.aio.InferenceServerClient(
                parts.netloc,
                ssl=parts.scheme == "grpcs",
                root_certificates=os.environ.get("SSL_CERT_FILE"),
                channel_args=CHANNEL_ARGUMENTS,
            )
        return self._clients[url]
