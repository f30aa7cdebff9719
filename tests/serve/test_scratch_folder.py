"""What killed servers left is removed, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vfnet_serve.chosen_environment import chosen_environment
from vfnet_serve.scratch_folder import ScratchFolder, remove_abandoned

_KILLED = """
import os, pathlib, signal
from vfnet_serve.scratch_folder import ScratchFolder
folder = ScratchFolder()
pathlib.Path("/dev/shm", folder.shared_memory_prefix + "region").write_bytes(b"x")
print(folder.path, folder.shared_memory_prefix, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_killed_owners_folder_and_shared_memory_are_removed(temporary: Path) -> None:
    said = subprocess.run([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True, check=False).stdout
    folder, prefix = said.split()
    assert Path(folder).parent == temporary
    region = Path("/dev/shm", f"{prefix}region")
    assert region.exists()
    assert remove_abandoned() == 1
    assert not Path(folder).exists()
    assert not region.exists()


def test_a_living_owners_folder_stays(temporary: Path) -> None:
    with ScratchFolder() as folder:
        assert folder.path.parent == temporary
        assert remove_abandoned() == 0
        assert folder.path.exists()
    assert not folder.path.exists()


def test_what_is_not_one_stays(temporary: Path) -> None:
    (temporary / "target").mkdir()
    (temporary / "vfnet-serve-link").symlink_to(temporary / "target")
    (temporary / "vfnet-serve-new").mkdir()  # one that is just being made has no lock yet
    (temporary / "vfnet-serve-file").touch()
    assert remove_abandoned() == 0
    assert len(list(temporary.iterdir())) == 4


def test_models_are_given_what_they_compute_with_and_no_secret() -> None:
    kept = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0", "LC_ALL": "C", "VFNET_CACHE_DIR": "/c"}
    secrets = {
        "VFNET_GATEWAY_KEYS": "a", "VFNET_API_KEY": "b", "AWS_SECRET_ACCESS_KEY": "c", "HF_TOKEN": "d",
        "TRITON_API_KEY": "e", "GRAFANA_PASSWORD": "f", "SOMETHING_ELSE": "g", "CUDA_TOKEN": "h",
    }  # fmt: skip
    assert chosen_environment(kept | secrets) == kept
