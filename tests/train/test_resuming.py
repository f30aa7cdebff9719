"""A training that was killed, at whatever moment, ends exactly as one that was not."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_training import finetune_arguments, run_python
from vfnet_client.atomic_files import remove_unfinished
from vfnet_client.cli import main
from vfnet_train.interruption import noticed_signals

pytestmark = pytest.mark.training

# Real signals to the process itself, at a moment that is the same in every run.
AT_STEP = """
import os
from vfnet_train.steps import Stepper
step, count = Stepper.step, 0
def counted(self, *arguments):
    global count
    count += 1
    if count == {step}:
        os.kill(os.getpid(), {signal})
    return step(self, *arguments)
Stepper.step = counted
"""
WHILE_WRITING = """
import os, signal
from pathlib import Path
flush = os.fsync
def kill(file):
    path = Path(os.readlink(f"/proc/self/fd/{{file}}"))
    kill.count += path.name == ".{name}.part"
    if kill.count == {count}:
        os.ftruncate(file, os.fstat(file).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    flush(file)
kill.count = 0
os.fsync = kill
"""
MOMENTS = {
    "SIGKILL mid-epoch": (AT_STEP.format(step=4, signal=9), -9),
    "SIGTERM mid-epoch": (AT_STEP.format(step=2, signal=15), 143),
    "SIGKILL while the state is written": (WHILE_WRITING.format(name="training_state.pth", count=5), -9),
    "SIGKILL while the best checkpoint is written": (WHILE_WRITING.format(name="best.pth", count=1), -9),
}


def state_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def assert_equal_folders(found: Path, expected: Path) -> None:
    for name in ("last.pth", "best.pth"):
        ours, theirs = state_of(found / name), state_of(expected / name)
        assert ours["meta"] == theirs["meta"]
        for key, value in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][key], value), (name, key)
    assert metrics_of(found) == metrics_of(expected)


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


MORE = ("--ema-decay", "0.9", "--photometric-distortion", "--scale", "96x80", "96x64", "--test-scale", "96x80")


@pytest.fixture(scope="module")
def uninterrupted(tiny_checkpoint: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert main(finetune_arguments(scenes, tiny_checkpoint, output, *MORE)) == 0
    return output


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_same_command_after_a_kill_ends_with_equal_weights_and_figures(
    moment: str, uninterrupted: Path, tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    code, exit_code = MOMENTS[moment]
    arguments = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", *MORE)
    killed = run_python(code, arguments)
    assert killed.returncode == exit_code, killed.stderr
    assert (tmp_path / "run" / "training_state.pth").exists()
    if exit_code == 128 + signal.SIGTERM:
        assert "the same command goes on from there" in killed.stderr
    assert main(arguments) == 0
    assert_equal_folders(tmp_path / "run", uninterrupted)
    assert not list((tmp_path / "run").glob(".*"))


def test_a_finished_training_is_left_as_it_is(
    uninterrupted: Path, tiny_checkpoint: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "last.pth").read_bytes()
    assert main(finetune_arguments(scenes, tiny_checkpoint, uninterrupted, *MORE)) == 0
    assert (uninterrupted / "last.pth").read_bytes() == before
    assert "already" in capsys.readouterr().err


def test_another_training_does_not_overwrite_it(
    uninterrupted: Path, tiny_checkpoint: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "last.pth").read_bytes()
    assert main(finetune_arguments(scenes, tiny_checkpoint, uninterrupted, *MORE, "--seed", "7")) == 1
    assert "seed was 42 and is 7" in capsys.readouterr().err
    assert (uninterrupted / "last.pth").read_bytes() == before


def test_a_folder_with_something_else_in_it_is_not_touched(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    assert main(finetune_arguments(scenes, tiny_checkpoint, tmp_path)) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_half_written_files_of_a_kill_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.pth.part").write_bytes(b"half")
    (tmp_path / "last.pth").write_bytes(b"whole")
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


def test_an_interrupt_is_noticed_once_and_then_takes_its_usual_course() -> None:
    with noticed_signals() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


OPTIONS = {
    "fp16, accumulation, max steps, cosine, another metric, a rate for other batches": (
        "--precision fp16 --gradient-accumulation 2 --batch-size 2 --max-steps 5 --schedule warmup_cosine "
        "--warmup-steps 2 --best-metric AR100 --base-batch-size 8",
        AT_STEP.format(step=4, signal=9),
    ),
    "bf16, step, SGD, early stopping": (
        "--precision bf16 --optimizer sgd --schedule step --step-epochs 1 --early-stopping 1 --epochs 4 "
        "--learning-rate 1e-9",  # so that nothing becomes better after the first evaluation
        AT_STEP.format(step=3, signal=9),
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_with_each_option_a_killed_training_ends_as_one_that_was_not(
    name: str, tiny_checkpoint: Path, scenes: Path, tmp_path: Path
) -> None:
    options, code = OPTIONS[name]
    found, expected = (
        finetune_arguments(scenes, tiny_checkpoint, tmp_path / each, *options.split()) for each in ("found", "expected")
    )
    killed = run_python(code, found)
    assert killed.returncode == -9, killed.stderr
    assert main(found) == 0
    assert main(expected) == 0
    assert_equal_folders(tmp_path / "found", tmp_path / "expected")
    epochs = [record for record in metrics_of(tmp_path / "found") if record["kind"] == "epoch"]
    if "early-stopping" in options:
        assert len(epochs) == 2  # of four
    if "max-steps" in options:
        assert epochs[-1]["step"] == 5
