"""`vfnet deploy --canary`: the new one is tried on the traffic before the name is turned to it."""

from __future__ import annotations

import argparse
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_process import RunningGateway, running_gateway
from replaceable_server import Replaceable, copying
from score_requests import GOOD, post, strip_png, table
from triton_server import NO_OP, serving
from vfnet.commands import deploy as deploy_command
from vfnet.commands.deploy_trial import trial_step
from vfnet_client.exceptions import CommandError
from vfnet_deploy.deploying import deploy
from vfnet_deploy.errors import DeployError
from vfnet_gateway.traffic.split import read_traffic

pytestmark = [pytest.mark.served, pytest.mark.timeout(240)]


@dataclass
class Tried:
    replaceable: Replaceable
    gateway: RunningGateway
    folder: Path

    def deploy(self, repository: Path, *options: str) -> str:
        """Deploy what is built already, tried with these options while two callers ask."""
        step = trial_step(arguments(f"--state={self.folder}", *options), self.replaceable.say)
        with callers(self.gateway) as statuses:
            try:
                return deploy(
                    self.replaceable.options(), self.replaceable.server, copying(repository), self.replaceable.say, step
                )
            finally:
                self.statuses = Counter(statuses)


class callers:  # noqa: N801
    """Two of them, while in the context; the statuses of their answers."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway, self.ends, self.statuses = gateway, threading.Event(), Counter[int]()

    def __enter__(self) -> Counter[int]:
        self.threads = [threading.Thread(target=self.ask) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        return self.statuses

    def __exit__(self, *_error: object) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join()

    def ask(self) -> None:
        with self.gateway.client() as client:
            while not self.ends.is_set():
                self.statuses[post(client, {"input_data": table([GOOD])}).status_code] += 1


def arguments(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    deploy_command.add_arguments(parser)
    return parser.parse_args(["--checkpoint=demo", *options])


@pytest.fixture(scope="module")
def tried(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    folder = tmp_path_factory.mktemp("tried")
    shutil.copytree(demo_repository, folder / "repository")
    image = strip_png()
    picture = folder / "strip.png"
    picture.write_bytes(image)
    with (
        serving(folder / "repository", folder, NO_OP) as served,
        running_gateway(served.grpc_url, folder, f"--traffic-file={folder / 'traffic.toml'}") as gateway,
    ):
        yield Tried(Replaceable(served, image, [picture]), gateway, folder)


def test_one_with_other_classes_is_taken_away_again(tried: Tried, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tried.folder / "repository", other)
    for labels in other.glob("*/labels.txt"):
        labels.write_text("\n".join(reversed(labels.read_text().split())) + "\n")
    with pytest.raises(DeployError, match="with another class"):
        tried.deploy(other, "--canary=10", "--for=60s", "--promote")
    assert tried.statuses.keys() == {200}
    assert read_traffic(tried.folder / "traffic.toml") == {}
    state = tried.replaceable.server.of_model("vfnet")
    assert state.loaded == (state.live,)
    assert len(tried.replaceable.built_folders()) == (state.live > 1)


def test_one_that_passes_gets_the_name(tried: Tried) -> None:
    options = ("--canary=30", "--for=2s", "--min-images=5", "--min-compared=5", "--mirror=50", "--max-slowdown=1000")
    name = tried.deploy(tried.folder / "repository", *options)
    assert tried.statuses.keys() == {200}
    assert any(f"{name} has passed its trial" in line for line in tried.replaceable.told)
    assert read_traffic(tried.folder / "traffic.toml") == {}
    assert name == f"vfnet.{tried.replaceable.server.of_model('vfnet').live}"


def test_whose_traffic_has_to_be_known(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="needs --gateway and --traffic-file"):
        trial_step(arguments("--canary=10", "--state-file=x.json"), print)
    with pytest.raises(CommandError, match="no gateway runs"):
        trial_step(arguments("--canary=10", f"--state={tmp_path}"), print)
    assert trial_step(arguments(), print) is None
