"""A gateway that reads a traffic file, in front of a Triton with two ensembles that name different classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway_process import RunningGateway, running_gateway
from second_ensemble import with_second_ensemble
from triton_server import NO_OP, ServedRepository, serving
from waiting import eventually

SECOND = "second"
"""The ensemble beside `vfnet`; what it finds is of another class."""


@dataclass(frozen=True)
class SplitGateway:
    """Both, and the folder that they share, as `vfnet up` has one."""

    gateway: RunningGateway
    server: ServedRepository
    state: Path

    @property
    def traffic_file(self) -> Path:
        return self.state / "traffic.toml"

    def comes_to_give(self, deployment: str, percent: float) -> bool:
        """Whether the gateway takes up that a deployment has this share; 0 also for no split."""
        sample = f'vfnet_gateway_traffic_percent{{deployment="{deployment}",model="vfnet"}}'
        return eventually(lambda: self.gateway.metric(sample) == percent)

    def counted(self, metric: str, deployment: str, more: str = "") -> float:
        """One sample of /metrics; `more` are labels that follow by their names' order."""
        return self.gateway.metric(f'vfnet_gateway_{metric}{{deployment="{deployment}"{more}}}')


@contextmanager
def split_gateway(repository: Path, state: Path) -> Iterator[SplitGateway]:
    """Both ensembles made of `repository`, without a network, while in the context; all files go to `state`."""
    both = with_second_ensemble(repository, state / "repository", SECOND, no_op_label=2)
    with (
        serving(both, state, NO_OP) as server,
        running_gateway(server.grpc_url, state, f"--traffic-file={state / 'traffic.toml'}") as gateway,
    ):
        yield SplitGateway(gateway, server, state)
