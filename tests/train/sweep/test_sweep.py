"""A sweep on a Ray cluster of this machine: interrupted, and gone on with."""

from __future__ import annotations

import csv
import ipaddress
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tiny_training import VFNET, finetune_arguments
from vfnet_client.cli import main
from vfnet_train.errors import FinetuneError
from vfnet_train.settings import FinetuneSettings
from vfnet_train.sweep import ray_runner, sweeping
from vfnet_train.sweep.settings import SweepSettings
from vfnet_train.sweep.trials import make_trial
from waiting import eventually

pytestmark = pytest.mark.training

SPACE = """
learning-rate = [1e-3, 1e30]
schedule = ["constant"]
"""
"""The second diverges."""


@dataclass(frozen=True)
class Ended:
    """What is left of a command after Ctrl-C."""

    code: int
    said: str
    left: set[str]
    """Names of processes that are still there some seconds later."""
    listened_at: set[str]
    """Addresses of its processes."""


def arguments_of(command: str, checkpoint: Path, scenes: Path, output: Path, *more: str) -> list[str]:
    return [command, *finetune_arguments(scenes, checkpoint, output, *more)[1:]]


def interrupt_when(arguments: list[str], is_far_enough: Callable[[], bool]) -> Ended:
    command = [VFNET, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as sweep:
        try:
            assert eventually(lambda: is_far_enough() or sweep.poll() is not None, 200)
            started = psutil.Process(sweep.pid).children(recursive=True)
            listened_at = {
                connection.laddr.ip.removeprefix("::ffff:")
                for process in started
                if process.is_running()
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            }
            os.killpg(sweep.pid, signal.SIGINT)  # as a terminal sends Ctrl-C to all of them
            _, said = sweep.communicate(timeout=100)
        finally:
            sweep.kill()
    left = psutil.wait_procs(started, timeout=10)[1]
    return Ended(sweep.returncode, said, {process.name() for process in left}, listened_at)


def test_interrupted_it_goes_on_and_keeps_the_best(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space, output = tmp_path / "space.toml", tmp_path / "run"
    space.write_text(SPACE)
    more = ("--space", str(space), "--sampling", "grid", "--trial-cpus", "1", "--early-termination", "bandit")
    arguments = arguments_of("sweep", tiny_checkpoint, scenes, output, *more)
    first, second = output / "trials" / "0001", output / "trials" / "0002"

    interrupted = interrupt_when(arguments, lambda: (first / "best.pth").exists())
    assert interrupted.code == 130, interrupted.said
    assert "the same command goes on from there" in interrupted.said
    assert "trial 1 of 2: learning-rate 0.001, schedule constant" in interrupted.said
    assert interrupted.left == set()
    assert interrupted.listened_at
    assert all(ipaddress.ip_address(address).is_loopback for address in interrupted.listened_at)

    ended = subprocess.run([VFNET, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "2 trials, 2 to run" in ended.stderr
    assert "going on after step" in first.with_name("0001.log").read_text()
    assert "trial 2 failed: the training diverged" in ended.stderr
    heading, *rows = csv.reader((output / "results.csv").read_text().splitlines())
    assert heading == [
        "trial", "learning-rate", "schedule", "AP", "best epoch", "epochs", "minutes", "outcome",
    ]  # fmt: skip
    assert [(row[0], row[1], row[5], row[7]) for row in rows] == [
        ("0001", "0.001", "3", "finished"), ("0002", "1e+30", "0", "failed"),
    ]  # fmt: skip
    document = json.loads((output / "results.json").read_text())["trials"][0]
    assert document["settings"] == {"learning-rate": 0.001, "schedule": "constant"}
    assert [each["epoch"] for each in document["evaluations"]] == [1, 2, 3]
    assert f"{output / 'best.pth'} (AP {document['figure']:.4f}, trial 0001" in ended.stdout
    assert (output / "best.pth").read_bytes() == (first / "best.pth").read_bytes()
    assert (output / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "the training diverged" in (output / "report.md").read_text()
    assert not list(output.glob(".*.part"))
    assert not (output / ".ray").exists()

    # A trial is a run folder of `vfnet finetune`, and the sweep stays what it is.
    plain = arguments_of("finetune", tiny_checkpoint, scenes, first, "--schedule", "constant")
    assert main(plain) == 0
    assert "already finished" in capfd.readouterr().err
    assert not (second / "best.pth").exists()
    assert main([*arguments, "--seed", "7"]) == 1
    assert "holds another sweep: seed was 42 and is 7" in capfd.readouterr().err


def test_a_second_sweep_in_the_folder_leaves_what_the_first_writes_alone(
    tiny_checkpoint: Path,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    space, output = tmp_path / "space.toml", tmp_path / "run"
    space.write_text(SPACE)
    arguments = arguments_of("sweep", tiny_checkpoint, scenes, output, "--space", str(space))
    unfinished = output / ".best.pth.part"

    def run(*_: object) -> None:
        unfinished.touch()
        assert main(arguments) == 1
        assert "another process runs the sweep" in capsys.readouterr().err
        assert unfinished.exists()
        raise FinetuneError("the first is over")

    monkeypatch.setattr(sweeping, "_run", run)
    assert main(arguments) == 1
    assert "the first is over" in capsys.readouterr().err
    monkeypatch.setattr(sweeping, "_run", lambda *_: pytest.fail("nothing is known of the trials"))
    (output / "trials.json").write_text("[1]")
    assert main(arguments) == 1
    assert "trials.json cannot be read" in capsys.readouterr().err


def test_a_signal_is_noticed_whatever_handler_ray_has_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def connected(*_: object) -> Iterator[None]:
        before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("Ray ends the process"))
        yield
        signal.signal(signal.SIGTERM, before)

    def run(
        _trials: object, _todo: object, _settings: object, _resources: object, interruption: Any, *_: object
    ) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert interruption.signal_number == signal.SIGTERM
        raise ray_runner._InterruptError

    monkeypatch.setattr(ray_runner, "connected", connected)
    monkeypatch.setattr(ray_runner, "_run", run)
    trial = make_trial(1, {"learning-rate": 1e-3}, FinetuneSettings((Path("a"),), "demo", tmp_path))
    resources = ray_runner.Resources(1, 0, 1)
    found = ray_runner.run_trials([trial], [trial], SweepSettings(Path("space.toml")), resources, lambda _: None)
    assert found == ({}, signal.SIGTERM)


def test_it_needs_validation_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "--space", "s.toml", "--data", "d.json", "--init", "demo", "--output", str(tmp_path / "run")]
    assert main(arguments) == 1
    assert "--validation names them" in capsys.readouterr().err
