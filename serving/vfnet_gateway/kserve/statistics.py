"""Triton's counts of a public model, without those of what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from vfnet_gateway.kserve.public_interface import VERSION
from vfnet_gateway.triton_facts import TritonFacts

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Statistics:
    """Of one model since Triton started."""

    model: str
    inference_count: int
    execution_count: int
    last_inference: int
    """Milliseconds since the epoch."""
    durations: dict[str, tuple[int, int]]
    """By name in `DURATIONS`: how many, and their nanoseconds together."""

    def to_json(self) -> dict[str, Any]:
        """As REST has it."""
        return {
            "name": self.model,
            "version": VERSION,
            "last_inference": self.last_inference,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {name: {"count": n, "ns": ns} for name, (n, ns) in self.durations.items()},
            "batch_stats": [],
        }

    def to_message(self) -> Any:
        """As gRPC has it: a `ModelStatistics`."""
        message = service_pb2.ModelStatistics(
            name=self.model,
            version=VERSION,
            last_inference=self.last_inference,
            inference_count=self.inference_count,
            execution_count=self.execution_count,
        )
        for name, (count, nanoseconds) in self.durations.items():
            duration = getattr(message.inference_stats, name)
            duration.count, duration.ns = count, nanoseconds
        return message


class ModelStatistics:
    """Asks Triton; to be used by one event loop."""

    def __init__(self, facts: TritonFacts) -> None:
        self._facts = facts

    async def of(self, model: str) -> Statistics:
        """What Triton has counted of a model, all its versions together.

        Raises:
            ServerUnavailableError: Triton does not answer.
        """
        entries = await self._facts.statistics(model)
        durations = {
            name: (
                sum(getattr(entry.inference_stats, name).count for entry in entries),
                sum(getattr(entry.inference_stats, name).ns for entry in entries),
            )
            for name in DURATIONS
        }
        return Statistics(
            model,
            sum(entry.inference_count for entry in entries),
            sum(entry.execution_count for entry in entries),
            max((entry.last_inference for entry in entries), default=0),
            durations,
        )
