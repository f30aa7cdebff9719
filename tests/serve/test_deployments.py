"""What is wanted, what is served, and the way from one to the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from vfnet_client.atomic_files import locked_file
from vfnet_client.model_names import EnsembleNames
from vfnet_model.manifest import MANIFEST
from vfnet_serve.adapted_repository import read_configs
from vfnet_serve.deployments import reconciling
from vfnet_serve.deployments.reconciling import Reconciler
from vfnet_serve.deployments.served_models import ModelReader, ServedDeployment, ServedModels
from vfnet_serve.deployments.served_state import ServedState, served_manifest
from vfnet_serve.deployments.wanted import (
    DeployedBuild,
    DeploymentsError,
    DeploymentsFolder,
    ModelDeployments,
    Trial,
    Wanted,
)
from vfnet_serve.installation import ServerError
from vfnet_serve.machine import Machine
from vfnet_serve.model_process import LoadingProcesses
from vfnet_serve.server_log import ServerLog
from vfnet_serve.serving_settings import GivenSettings

READER = ModelReader(Machine(2), GivenSettings())


def built(number: int) -> DeployedBuild:
    return DeployedBuild(number, "a checkpoint", "openvino", "f32", "2026-11-29T12:00:00+00:00")


@pytest.fixture
def folder(demo_repository: Path, tmp_path: Path) -> DeploymentsFolder:
    """Beside a repository, with a second and a third build of its model."""
    ignore = shutil.ignore_patterns("network.*", "vfnet_runtime")
    shutil.copytree(demo_repository, tmp_path / "repository", ignore=ignore)
    found = DeploymentsFolder(tmp_path / "repository")
    for number in (2, 3):
        build = found.build_folder("vfnet", number)
        shutil.copytree(tmp_path / "repository", build)
        (build / MANIFEST).write_text((build / MANIFEST).read_text() + " " * number)
    return found


def wanting(folder: DeploymentsFolder, live: int, kept: int | None = None, trial: Trial | None = None) -> Wanted:
    base = folder.base("vfnet")
    assert base is not None
    wanted = Wanted({"vfnet": ModelDeployments(base, live, kept, (built(2), built(3)))}, trial, time.monotonic_ns())
    folder.write(wanted)
    return wanted


def test_what_is_wanted_is_read_as_it_was_written(folder: DeploymentsFolder) -> None:
    assert folder.read() == Wanted()
    trial = Trial.of("vfnet", 3, os.getpid())
    wanted = wanting(folder, 2, 1, trial)
    assert folder.read() == wanted
    assert wanted.loaded("vfnet") == [1, 2, 3]
    assert wanted.loaded("another") == [1]
    assert (wanted.live("vfnet"), wanted.live("another")) == (2, 1)


def test_a_trial_ends_with_the_command_that_wants_it(folder: DeploymentsFolder) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        trial = Trial.of("vfnet", 2, process.pid)
        wanted = wanting(folder, 1, None, trial)
        assert wanted.loaded("vfnet") == [1, 2]
        process.kill()
    assert trial.is_abandoned()
    assert wanted.loaded("vfnet") == [1]


def test_of_a_repository_that_was_built_anew_nothing_is_wanted(folder: DeploymentsFolder) -> None:
    wanting(folder, 2)
    bases: dict[str, str | None] = {"vfnet": folder.base("vfnet")}
    manifest = folder.repository / MANIFEST
    manifest.write_text(manifest.read_text() + " ")
    assert folder.read().live("vfnet") == 1
    assert folder.read(bases).live("vfnet") == 2  # for a server that still serves what it was


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("models"),
        lambda document: document.update(format=2),
        lambda document: document["models"]["vfnet"].update(live=7),
        lambda document: document["models"]["vfnet"].update(kept=7),
        lambda document: document["models"]["vfnet"].update(other=1),
        lambda document: document["models"].update({"../x": document["models"]["vfnet"]}),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_to_do(folder: DeploymentsFolder, spoil: Any) -> None:
    wanting(folder, 2)
    path = folder.path / "wanted.json"
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DeploymentsError, match=r"is not what vfnet deploy writes .*: remove the folder"):
        folder.read()


def test_one_command_at_a_time(folder: DeploymentsFolder) -> None:
    with (
        locked_file(folder.path / ".lock"),
        pytest.raises(DeploymentsError, match="another vfnet deploy or rollback is at work"),
        folder.locked(),
    ):
        pass
    with folder.locked():
        pass


def test_a_deployment_has_names_of_its_own(folder: DeploymentsFolder, tmp_path: Path) -> None:
    models = READER.read(folder.repository)
    deployment = READER.read_deployment(folder.build_folder("vfnet", 2), "vfnet", 2)
    models.deployments["vfnet.2"] = deployment
    own, public = EnsembleNames("vfnet.2"), EnsembleNames("vfnet")
    assert models.ensembles() == ["vfnet", "vfnet.2"]
    for live, names in ((1, public), (2, own)):
        models.live["vfnet"] = live
        target = tmp_path / f"laid out {live}"
        models.lay_out(target)
        configs = read_configs(target)
        assert configs == models.configs() | {"vfnet": configs["vfnet"]}
        assert set(configs) == {*public.all, *own.all}
        assert [step.model_name for step in configs["vfnet"].ensemble_scheduling.step] == list(names.steps)
        assert [step.model_name for step in configs["vfnet.2"].ensemble_scheduling.step] == list(own.steps)
        assert all(config.name == name for name, config in configs.items())
    assert sorted(models.ensembles_over("vfnet.2_detector")) == ["vfnet", "vfnet.2"]
    assert deployment.processes() == {own.preprocess: 2, own.detector: 1, own.postprocess: 2}


def test_a_server_that_starts_has_what_was_live_and_kept(folder: DeploymentsFolder) -> None:
    models = READER.read(folder.repository)
    assert READER.apply_wanted(models, wanting(folder, 3, 2)) == []
    assert (models.live["vfnet"], models.loaded("vfnet")) == (3, [2, 3])
    shutil.rmtree(folder.build_folder("vfnet", 3))
    models = READER.read(folder.repository)
    (problem,) = READER.apply_wanted(models, wanting(folder, 3))
    assert "vfnet.3 is not a folder" in problem
    assert (models.live["vfnet"], models.loaded("vfnet")) == (1, [1])


class FakeTriton:
    """Does what it is told at once, and writes it down."""

    def __init__(self, unloadable: tuple[int, ...] = ()) -> None:
        self.done: list[str] = []
        self.unloadable = unloadable
        self.has_lost_a_process = False
        self.log = ServerLog()

    def load_new(self, deployment: ServedDeployment, _given_up: threading.Event) -> None:
        self.done.append(f"load {deployment.number}")
        if deployment.number in self.unloadable:
            raise ServerError("it is broken")

    def give_up(self, deployment: ServedDeployment) -> set[str]:
        self.done.append(f"give up {deployment.number}")
        return set()

    def turn(self, deployment: ServedDeployment) -> None:
        self.done.append(f"turn {deployment.number}")

    def unload_all(self, deployment: ServedDeployment, _seconds: float) -> bool:
        self.done.append(f"unload {deployment.number}")
        return True


class FakeWatchdog:
    def __init__(self) -> None:
        self.expected: set[str] = set(EnsembleNames("vfnet").steps)
        self.lost = 0.0

    def expect(self, processes: dict[str, int]) -> None:
        self.expected |= processes.keys()

    def forget(self, models: tuple[str, ...]) -> None:
        self.expected -= set(models)

    def processes_of(self, _models: tuple[str, ...]) -> list[psutil.Process]:
        return []

    find_processes = processes_of

    def seconds_lost(self, _loading: LoadingProcesses) -> float:
        return self.lost

    def give_up(self) -> None:
        self.lost = 0.0


@pytest.fixture
def models(folder: DeploymentsFolder, monkeypatch: pytest.MonkeyPatch) -> ServedModels:
    monkeypatch.setattr(reconciling, "_GRACE_SECONDS", 0.0)
    return READER.read(folder.repository)


def settle(reconciler: Reconciler, triton: Any, watchdog: Any) -> None:
    for _ in range(60):
        reconciler.look(triton, watchdog)
        time.sleep(0.002)


def test_what_is_wanted_is_loaded_turned_to_and_the_rest_unloaded(
    folder: DeploymentsFolder, models: ServedModels, tmp_path: Path
) -> None:
    state, triton, watchdog = tmp_path / "state.json", FakeTriton(), FakeWatchdog()
    reconciler = Reconciler(READER, models, state)
    settle(reconciler, triton, watchdog)
    assert triton.done == []
    wanting(folder, 1, None, Trial.of("vfnet", 2, os.getpid()))
    settle(reconciler, triton, watchdog)
    assert triton.done == ["load 2"]
    wanted = wanting(folder, 2, 1)
    settle(reconciler, triton, watchdog)
    assert triton.done == ["load 2", "turn 2"]
    wanting(folder, 1, 2)
    settle(reconciler, triton, watchdog)
    assert triton.done[2:] == ["turn 1"]
    wanted = wanting(folder, 3)
    settle(reconciler, triton, watchdog)
    assert triton.done[3:] == ["load 3", "turn 3", "unload 1", "unload 2"]
    assert watchdog.expected == set(EnsembleNames("vfnet.3").steps)
    said = ServedState.read(state)
    assert said is not None
    assert said.revision == wanted.revision
    assert (said.models["vfnet"].live, said.models["vfnet"].loaded) == (3, (3,))
    built_of = folder.build_folder("vfnet", 3) / MANIFEST
    assert (
        served_manifest(tmp_path).read_bytes() == built_of.read_bytes() != (folder.repository / MANIFEST).read_bytes()
    )


def test_one_that_cannot_be_loaded_is_said_and_what_serves_stays(
    folder: DeploymentsFolder, models: ServedModels, tmp_path: Path
) -> None:
    state, triton, watchdog = tmp_path / "state.json", FakeTriton(unloadable=(2,)), FakeWatchdog()
    reconciler = Reconciler(READER, models, state)
    wanting(folder, 1, None, Trial.of("vfnet", 2, os.getpid()))
    settle(reconciler, triton, watchdog)
    assert triton.done == ["load 2"]  # once
    said = ServedState.read(state)
    assert said is not None
    assert said.models["vfnet"].failed == {2: "it is broken"}
    assert (said.models["vfnet"].live, said.models["vfnet"].loaded) == (1, (1,))
    wanting(folder, 1)
    settle(reconciler, triton, watchdog)
    said = ServedState.read(state)
    assert said is not None
    assert said.models["vfnet"].failed == {}


@pytest.mark.parametrize(
    ("failures", "soon", "reason"),
    [({}, 5.0, "died while it was loaded"), ({"vfnet.2_detector": "no network"}, 31.0, "failed to load: no network")],
    ids=["nothing said", "failure said"],
)
def test_a_load_that_hangs_for_a_dead_process_is_given_up_and_holds_up_nothing(
    folder: DeploymentsFolder, models: ServedModels, tmp_path: Path, failures: dict[str, str], soon: float, reason: str
) -> None:
    """Of which Triton has said why, it goes on for a while: Triton ends it."""
    state, triton, watchdog, hang = tmp_path / "state.json", FakeTriton(), FakeWatchdog(), threading.Event()
    load_new = triton.load_new

    def hanging(deployment: ServedDeployment, given_up: threading.Event) -> None:
        load_new(deployment, given_up)
        if deployment.number == 2:
            hang.wait(20)

    triton.load_new = hanging  # type: ignore[method-assign]
    reconciler = Reconciler(READER, models, state)
    wanting(folder, 1, None, Trial.of("vfnet", 2, os.getpid()))
    settle(reconciler, triton, watchdog)
    triton.log.load_failures.update(failures)
    watchdog.lost = soon - 2.0
    settle(reconciler, triton, watchdog)
    assert not reconciler.is_idle()
    watchdog.lost = soon
    settle(reconciler, triton, watchdog)
    said = ServedState.read(state)
    assert said is not None
    assert reason in said.models["vfnet"].failed[2]
    wanting(folder, 1, None, Trial.of("vfnet", 3, os.getpid()))
    settle(reconciler, triton, watchdog)
    hang.set()
    assert triton.done == ["load 2", "give up 2", "load 3"]
    assert models.loaded("vfnet") == [1, 3]


def test_a_trial_whose_command_was_killed_is_unloaded(
    folder: DeploymentsFolder, models: ServedModels, tmp_path: Path
) -> None:
    triton, watchdog = FakeTriton(), FakeWatchdog()
    reconciler = Reconciler(READER, models, tmp_path / "state.json")
    with subprocess.Popen(["sleep", "60"]) as process:
        wanting(folder, 1, None, Trial.of("vfnet", 2, process.pid))
        settle(reconciler, triton, watchdog)
        process.kill()
    settle(reconciler, triton, watchdog)
    assert triton.done == ["load 2", "unload 2"]


def test_what_cannot_be_understood_changes_nothing(
    folder: DeploymentsFolder, models: ServedModels, tmp_path: Path
) -> None:
    triton, watchdog = FakeTriton(), FakeWatchdog()
    reconciler = Reconciler(READER, models, tmp_path / "state.json")
    wanting(folder, 2)
    (folder.path / "wanted.json").write_text("{")
    settle(reconciler, triton, watchdog)
    assert triton.done == []
