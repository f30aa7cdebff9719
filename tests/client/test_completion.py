"""What the printed scripts complete, in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vfnet_client.cli import all_commands, main
from vfnet_client.commands.completion import SHELLS


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bash's, made where the whole project is installed."""
    path = tmp_path_factory.mktemp("completion") / "vfnet"
    start = "import sys; from vfnet_client.cli import main; sys.exit(main())"
    with path.open("wb") as file:
        subprocess.run([sys.executable, "-c", start, "completion", "bash"], stdout=file, check=True, timeout=120)
    return path


def completed(script: Path, *words: str, folder: Path | None = None) -> set[str]:
    """What bash offers for the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    text = f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _shtab_vfnet; "
    bash = ["bash", "--norc", "-c", text + 'printf "%s\\n" "${COMPREPLY[@]}"']
    done = subprocess.run(bash, capture_output=True, text=True, check=True, timeout=30, cwd=folder)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="without bash")
def test_bash_completes_commands_options_words_and_files(script: Path, tmp_path: Path) -> None:
    assert completed(script, "vfnet", "") >= all_commands().keys()
    assert completed(script, "vfnet", "det") == {"detect"}
    assert completed(script, "vfnet", "detect", "--th") == {"--threshold"}
    assert completed(script, "vfnet", "build", "--engine", "t") == {"torch", "tensorrt"}
    assert completed(script, "vfnet", "gateway", "--max-b") == {"--max-body-bytes"}
    (tmp_path / "photo.jpg").touch()
    assert "photo.jpg" in completed(script, "vfnet", "detect", "pho", folder=tmp_path)


def test_without_shtab_it_says_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "needs the package 'shtab'" in capsys.readouterr().err


def test_every_shell_that_is_offered_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"vfnet completion {shell} >" in told for shell in SHELLS)
