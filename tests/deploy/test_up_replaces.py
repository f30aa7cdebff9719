"""`vfnet up` with another checkpoint replaces the model that serves: nothing is started again, no request is lost."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from deployment import Deployment, deployed
from model_callers import callers, canonical
from score_requests import GOOD, post, strip_png, table
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(240)]


def pids(running: Deployment) -> tuple[int, int]:
    return tuple(json.loads((running.state / f"{name}.json").read_text())["pid"] for name in ("server", "gateway"))  # type: ignore[return-value]


def up(running: Deployment, checkpoint: Path) -> str:
    running.options = (f"--checkpoint={checkpoint}",)
    running.start()
    return running.state.with_name("command.log").read_text()


def signature(text: str) -> list[tuple[str, float]]:
    """Engines that were given other threads differ in the last digits."""
    return [(box["label"], round(box["score"], 3)) for box in json.loads(text)["boxes"]]


def answer(running: Deployment) -> list[tuple[str, float]]:
    with httpx.Client(base_url=running.door, timeout=60, trust_env=False) as client:
        return signature(json.dumps(post(client, {"input_data": table([GOOD])}).json()[0]))


def test_another_checkpoint_takes_the_place_of_what_serves(
    demo_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    with deployed(tmp_path, f"--checkpoint={demo_checkpoint}") as running:
        before, first = pids(running), answer(running)
        client = partial(httpx.Client, base_url=running.door, timeout=60, trust_env=False)
        with callers(running.grpc_port, strip_png(), client) as asking:
            assert eventually(lambda: len(asking.answers) > 20)
            told = up(running, other_checkpoint)
            replaced = time.monotonic()
            assert eventually(lambda: asking.answers[-1][0] > replaced)
        assert "deployed: vfnet is vfnet.2" in told
        assert asking.failures == []
        assert pids(running) == before
        second = answer(running)
        assert second != first
        assert {canonical(text) for asked, _, text in asking.answers if asked > replaced} == {
            canonical(asking.answers[-1][2])
        }
        assert len({canonical(text) for _, _, text in asking.answers}) == 2
        assert "already running" in up(running, other_checkpoint)
        assert answer(running) == second

        running.stop()
        running.start()
        assert answer(running) == second

        running.stop()
        up(running, demo_checkpoint)  # which the repository holds, and which was not asked for last
        assert answer(running) == first
