"""`vfnet bench` says at once what would fail only after minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_client.cli import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--image", "absent.jpg"], "there is no image absent.jpg"),
        (["--json", "absent/bench.json"], "absent to write the result into"),
        (["--plot", "absent/bench.png"], "absent to write the result into"),
        (["--mmdet", "absent/bin/python"], "there is no Python at absent/bin/python"),
        (["--against", "mmdet"], "needs MMDetection 2.x"),
        (["--against", "torch,mlflow"], "needs MMDetection 2.x"),
    ],
)
def test_what_is_not_there_is_named(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "network", *arguments]) == 1
    assert complaint in capsys.readouterr().err


def test_an_opponent_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "network", "--against", "mmdet,tensorflow"]) == 2
    assert "'tensorflow' is none of mmdet, onnxruntime, torch, mlflow" in capsys.readouterr().err
