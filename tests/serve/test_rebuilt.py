"""A repository that is built anew while it is served: no model of the one is ever served with those of the other."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from score_requests import strip_png
from served_inference import document
from triton_server import NO_OP, ServedRepository, serving
from vfnet_model.manifest import MANIFEST
from waiting import eventually

pytestmark = pytest.mark.served


@pytest.fixture
def repository(demo_repository: Path, tmp_path: Path) -> Path:
    """One that a test may build anew."""
    return Path(shutil.copytree(demo_repository, tmp_path / "repository"))


def build_anew(repository: Path) -> None:
    manifest = repository / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"precision": "bf16"}))


def wait_for_the_end(served: ServedRepository) -> int:
    return served.process.wait(timeout=60)


def test_it_stops_to_be_started_again_where_that_is_asked_for(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, NO_OP, "--until-rebuilt") as served:
        document(served, strip_png())
        shutil.copytree(repository, tmp_path / "equal")
        (tmp_path / "equal" / MANIFEST).replace(repository / MANIFEST)  # as an equal build would leave it
        time.sleep(1.5)
        document(served, strip_png())
        build_anew(repository)
        assert wait_for_the_end(served) == 0
    log = served.log.read_text()
    assert "was built anew" in log
    assert "finishing what is in flight" in log


def test_otherwise_it_goes_on_until_it_would_have_to_load_the_new_one(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, NO_OP) as served:
        build_anew(repository)
        assert eventually(lambda: "was built anew" in served.log.read_text(), 30)
        document(served, strip_png())
        served.model_processes("vfnet_detector")[0].kill()
        assert wait_for_the_end(served) == 1
    last = served.log.read_text().strip().splitlines()[-1]
    assert "vfnet_detector has to be loaded again" in last
    assert "start this again" in last
