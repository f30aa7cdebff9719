"""A gateway that reads a traffic file, in front of a Triton with two ensembles that name different classes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway_process import RunningGateway, running_gateway
from triton_server import NO_OP, ServedRepository, serving
from vfnet_build.repository import write_repository
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.manifest import Manifest
from waiting import eventually

SECOND = "second"
"""The model beside `vfnet`; what it finds is of another class."""
_LABELS = "self.labels = np.zeros((1, rows), np.int32)"
_OTHER_LABELS = "self.labels = np.full((1, rows), 2, np.int32)"


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
def split_gateway(repository: Path, checkpoint: Path, state: Path) -> Iterator[SplitGateway]:
    """Two models of what `repository` was built from, without a network, while in the context.

    All files go to `state`.
    """
    target = state / "repository"
    shutil.copytree(repository, target)
    manifest = Manifest.read(repository)
    assert manifest is not None
    write_repository(target, load_checkpoint(checkpoint).config, manifest, lambda _: None, model=SECOND)
    detector = target / f"{SECOND}_detector/1/vfnet_runtime/triton_models/noop_detector_model.py"
    code = detector.read_text()
    assert code.count(_LABELS) == 1
    detector.write_text(code.replace(_LABELS, _OTHER_LABELS))
    with (
        serving(target, state, NO_OP) as server,
        running_gateway(server.grpc_url, state, f"--traffic-file={state / 'traffic.toml'}") as gateway,
    ):
        yield SplitGateway(gateway, server, state)
