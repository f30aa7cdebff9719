"""What Triton tells of its models: how long each stage took so far, and the checkpoint's settings."""

from __future__ import annotations

import os
from typing import Any

import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_client.grpc_transport import CHANNEL_ARGUMENTS
from vfnet_client.model_names import STEPS
from vfnet_client.transport import parse_server_url

_PATIENCE_S = 3.0


class TritonFacts:
    """Asks one Triton over gRPC; to be used by one event loop."""

    def __init__(self, server: str) -> None:
        parts = parse_server_url(server)
        self._client = tritonclient.grpc.aio.InferenceServerClient(
            parts.netloc,
            ssl=parts.scheme == "grpcs",
            root_certificates=os.environ.get("SSL_CERT_FILE"),
            channel_args=CHANNEL_ARGUMENTS,
        )

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
        """Give the connection back."""
        await self._client.close()

    async def statistics(self, model: str) -> list[Any]:
        """Triton's own `ModelStatistics` of every version of a model. Raises as `stages` does."""
        try:
            answer = await self._client.get_inference_statistics(model, client_timeout=_PATIENCE_S)
        except InferenceServerException as error:
            raise ServerUnavailableError(f"no statistics of {model}: {error}") from error
        return list(answer.model_stats)

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
        try:
            answer = await self._client.get_model_config(model, client_timeout=_PATIENCE_S)
        except InferenceServerException as error:
            raise ServerUnavailableError(f"no configuration of {model}: {error}") from error
        return answer.config
