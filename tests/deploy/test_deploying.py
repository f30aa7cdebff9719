"""Another build takes the place of what serves, or leaves everything as it was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_process import running_gateway
from model_callers import callers, canonical
from replaceable_server import Replaceable, copying
from vfnet_client import VFNetClient
from vfnet_deploy.comparing import Limits
from vfnet_deploy.deploying import deploy, rollback
from vfnet_deploy.errors import DeployError
from vfnet_deploy.listing import deployments
from vfnet_model.detectors.repository_detector import RepositoryDetector
from vfnet_model.manifest import Manifest
from vfnet_serve.deployments.wanted import DeploymentsError
from vfnet_serve.model_process import ModelProcess
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(240)]


def test_no_request_is_lost_and_none_is_answered_by_the_old_one_afterwards(
    replaceable: Replaceable, another: Path, tmp_path: Path
) -> None:
    old = canonical(json.dumps(replaceable.answer()))
    with (
        running_gateway(replaceable.served.grpc_url, tmp_path) as gateway,
        callers(replaceable.served.grpc_port, replaceable.image, gateway.client) as asking,
    ):
        assert eventually(lambda: len(asking.answers) > 20)
        name = deploy(replaceable.options(), replaceable.server, copying(another), replaceable.say)
        deployed = time.monotonic()
        count = len(asking.answers)
        assert eventually(lambda: len(asking.answers) > count + 20)
    new = canonical(json.dumps(replaceable.answer()))
    assert old != new
    assert asking.failures == []
    found = [(when, canonical(text)) for _, when, text in asking.answers]
    assert {text for _, text in found} == {old, new}
    assert {text for when, text in found if when > deployed} == {new}
    (only,) = deployments(replaceable.server)
    assert (only["name"], only["serves"]) == (name, "live")
    assert replaceable.built_folders() == [name]


@pytest.fixture
def another(replaceable: Replaceable, demo_repository: Path, other_repository: Path) -> Path:
    """The one of the two builds that does not serve."""
    live = replaceable.server.folder.build_folder("vfnet", replaceable.server.of_model("vfnet").live)
    return other_repository if Manifest.read(live) == Manifest.read(demo_repository) else demo_repository


def test_what_is_kept_is_gone_back_to_at_once(replaceable: Replaceable, another: Path) -> None:
    before = replaceable.answer()
    name = deploy(replaceable.options(keep=True), replaceable.server, copying(another), replaceable.say)
    after = replaceable.answer()
    assert after != before
    roles = {record["name"]: record["serves"] for record in deployments(replaceable.server)}
    assert roles[name] == "live"
    assert sorted(roles.values()) == ["kept", "live"]
    with VFNetClient(replaceable.served.grpc_url, model=name) as client:
        assert client.detect(replaceable.image).to_json() == after
    started = time.monotonic()
    rollback("vfnet", replaceable.server, replaceable.say)
    assert time.monotonic() - started < 10
    assert replaceable.answer() == before
    rollback("vfnet", replaceable.server, replaceable.say)
    assert replaceable.answer() == after


def test_one_that_is_kept_beside_is_asked_by_its_name_and_turned_to_later(
    replaceable: Replaceable, another: Path
) -> None:
    before = replaceable.answer()
    name = deploy(replaceable.options(beside=True), replaceable.server, copying(another), replaceable.say)
    assert replaceable.answer() == before
    with VFNetClient(replaceable.served.grpc_url, model=name) as client:
        beside = client.detect(replaceable.image).to_json()
    rollback("vfnet", replaceable.server, replaceable.say)
    assert replaceable.answer() == beside


def test_a_triton_that_dies_comes_back_with_what_was_deployed(replaceable: Replaceable, other_repository: Path) -> None:
    if replaceable.server.of_model("vfnet").live == 1:
        deploy(replaceable.options(), replaceable.server, copying(other_repository), replaceable.say)
    deployed = replaceable.answer()
    replaceable.triton().kill()
    with VFNetClient(replaceable.served.grpc_url) as client:
        assert client.detect(replaceable.image).to_json() == deployed


def what_is_there(replaceable: Replaceable) -> tuple[Any, ...]:
    """What answers, what is loaded, and what is on the disk."""
    loaded = [(record["name"], record["serves"]) for record in deployments(replaceable.server)]
    return replaceable.answer(), loaded, replaceable.built_folders()


def broken(repository: Path) -> Any:
    def build(target: Path) -> None:
        copying(repository)(target)
        (target / "vfnet_detector" / "1" / "network.xml").write_text("no network")

    return build


def dying(repository: Path) -> Any:
    """Its detector is killed while it is loaded, as by a machine that is out of memory."""

    def build(target: Path) -> None:
        copying(repository)(target)
        model = target / "vfnet_detector" / "1" / "model.py"
        model.write_text("import os, time\ntime.sleep(1.5)\nos.kill(os.getpid(), 9)\n")

    return build


def halfway(_target: Path) -> None:
    raise DeployError("the disk is full")


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (broken, {}, r"vfnet\.\d+ cannot be served: .*vfnet\.\d+_detector failed to load"),
        (dying, {}, r"vfnet\.\d+ cannot be served"),
        (lambda _: halfway, {}, "the disk is full"),
        (copying, {"spare_memory": 1 << 50}, "--spare-memory keeps 1048576.00 GiB"),
        (copying, {"limits": Limits(min_agreement=1.1)}, r"and --min-agreement asks for 110 %"),
    ],
    ids=["broken", "dies", "full disk", "memory", "disagrees"],
)
def test_whatever_is_wrong_with_the_new_one_leaves_the_old_one(
    replaceable: Replaceable, demo_repository: Path, make: Any, options: Any, reason: str
) -> None:
    before = what_is_there(replaceable)
    with pytest.raises(DeployError, match=reason):
        deploy(replaceable.options(**options), replaceable.server, make(demo_repository), replaceable.say)
    assert what_is_there(replaceable) == before


def test_one_whose_process_is_killed_at_once_holds_nothing_up(replaceable: Replaceable, demo_repository: Path) -> None:
    """Triton (2.51) waits for it forever, and loads others meanwhile.

    Before a model's processes Triton runs `sh -c triton_python_backend_stub`, whose end does no harm.
    """
    before, over = what_is_there(replaceable), threading.Event()
    triton = replaceable.triton()
    known = {child.pid for child in triton.children()}

    def kill_the_first() -> None:
        while not over.wait(0.002):
            for child in triton.children():
                if child.pid not in known and ModelProcess.of(child) is not None:
                    child.kill()
                    return

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    try:
        with pytest.raises(DeployError, match="cannot be served"):
            deploy(replaceable.options(), replaceable.server, copying(demo_repository), replaceable.say)
    finally:
        over.set()
        killer.join()
    assert what_is_there(replaceable) == before


SCRIPT = """
import shutil, sys
from pathlib import Path
from vfnet_deploy.deploying import DeployOptions, deploy
from vfnet_deploy.running_server import RunningServer
state, repository, picture = map(Path, sys.argv[1:])
deploy(DeployOptions(images=[picture]), RunningServer.find(state), lambda to: shutil.copytree(repository, to),
       lambda text: print(text, flush=True))
"""


def in_a_process(replaceable: Replaceable, repository: Path) -> subprocess.Popen[str]:
    arguments = [str(replaceable.state_file), str(repository), str(replaceable.pictures[0])]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)


def looks_like(found: dict[str, Any], *expected: dict[str, Any]) -> bool:
    """Whether it is one of these, whole; engines of other threads differ in the last digits."""

    def rounded(document: dict[str, Any]) -> list[tuple[str, float]]:
        return sorted((box["label"], round(box["score"], 3)) for box in document["boxes"])

    return rounded(found) in [rounded(each) for each in expected]


@pytest.mark.parametrize("moment", ["loading", "compared"])
def test_a_deploy_that_is_killed_is_undone_or_finished_by_the_next_command(
    replaceable: Replaceable, demo_repository: Path, other_repository: Path, moment: str
) -> None:
    before = replaceable.answer()
    of_the_other = RepositoryDetector(other_repository).detect(replaceable.image).to_json()
    process = in_a_process(replaceable, other_repository)
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line:
            break
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    process.wait()
    process.stdout.close()
    assert looks_like(replaceable.answer(), before, of_the_other)
    deploy(replaceable.options(), replaceable.server, copying(demo_repository), replaceable.say)
    (only,) = deployments(replaceable.server)
    assert replaceable.built_folders() == [only["name"]]


def test_the_server_itself_takes_away_what_a_killed_deploy_had_loaded(
    replaceable: Replaceable, other_repository: Path
) -> None:
    before, loaded = replaceable.answer(), len(deployments(replaceable.server))
    process = in_a_process(replaceable, other_repository)
    assert process.stdout is not None
    for line in process.stdout:
        if "takes" in line:
            break
    os.kill(process.pid, signal.SIGSTOP)  # it is loaded, and not yet compared
    assert len(deployments(replaceable.server)) == loaded + 1
    with pytest.raises(DeploymentsError, match="another vfnet deploy or rollback is at work"):
        rollback("vfnet", replaceable.server, replaceable.say)
    process.kill()
    process.wait()
    process.stdout.close()
    assert eventually(lambda: len(deployments(replaceable.server)) == loaded)
    assert replaceable.answer() == before
