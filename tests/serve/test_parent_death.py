"""Commands that end with whoever started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vfnet_serve.parent_death import terminated_with_parent
from waiting import eventually

_PARENT = """
import subprocess, sys, time
from vfnet_serve.parent_death import terminated_with_parent
child = "import signal, sys, time; from pathlib import Path; "
child += "signal.signal(signal.SIGTERM, lambda *_: (Path(sys.argv[1]).write_text('terminated'), sys.exit())); "
child += "print('ready', flush=True); time.sleep(60)"
with subprocess.Popen(terminated_with_parent([sys.executable, "-c", child, sys.argv[1]])):
    time.sleep(60)
"""


def test_it_is_told_to_end_when_its_parent_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(told)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert not told.exists()
        parent.kill()
    assert eventually(lambda: told.exists() and told.read_text() == "terminated")


def test_one_whose_parent_has_gone_is_not_started(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    *start, parent, _ = terminated_with_parent(["touch"])
    done = subprocess.run([*start, str(int(parent) + 1), "touch", str(witness)], check=False)
    assert done.returncode == 1
    assert not witness.exists()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "tritonserver")
    done = subprocess.run(terminated_with_parent([missing]), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{missing}: No such file or directory\n")


def test_it_starts_as_a_command_does_that_python_did_not_start() -> None:
    signals = "grep SigIgn /proc/self/status"
    plainly, tied = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in (["sh", "-c", signals], terminated_with_parent(["sh", "-c", signals]))
    )
    assert tied == plainly
