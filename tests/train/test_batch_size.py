"""The batch size where the machine is to find it, and the learning rate that goes with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_training import finetune_arguments, run_python, tiny_config, write_scenes
from vfnet_client.cli import main
from vfnet_data.reading import read_dataset
from vfnet_train.batch_size import (
    BATCH_SIZE_FILE,
    Tried,
    grow_while_faster,
    is_out_of_memory,
    largest_canvas,
    largest_that_fits,
    with_batch_size,
)
from vfnet_train.errors import FinetuneError
from vfnet_train.preparation import prepare
from vfnet_train.processes import Processes
from vfnet_train.settings import FinetuneSettings, OptimizerSettings

GPU_IS_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def holds(most: int, tried: list[int]) -> object:
    """An attempt on a GPU that has memory for so many images; a simulated one, for there is none here."""

    def attempt(batch_size: int) -> None:
        tried.append(batch_size)
        if batch_size > most:
            raise GPU_IS_FULL

    return attempt


@pytest.mark.parametrize(("room", "most", "expected"), [(13, 100, 13), (1, 100, 1), (64, 100, 64), (50, 12, 12)])
def test_on_a_gpu_a_batch_grows_until_memory_ends(room: int, most: int, expected: int) -> None:
    tried: list[int] = []
    assert largest_that_fits(holds(room, tried), most) == expected  # type: ignore[arg-type]
    assert max(tried) <= most
    assert len(tried) <= 14


def test_an_image_that_does_not_fit_alone_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(FinetuneError, match="does not fit into memory: choose a smaller --scale"):
        largest_that_fits(holds(0, []), 8)  # type: ignore[arg-type]


def test_an_error_of_another_kind_is_not_taken_for_a_full_memory() -> None:
    def attempt(_: int) -> None:
        raise RuntimeError("expected scalar type Half")

    with pytest.raises(RuntimeError, match="Half"):
        largest_that_fits(attempt, 8)
    assert is_out_of_memory(GPU_IS_FULL)
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))


def speeds(table: dict[int, float], megabytes: int = 100) -> object:
    return lambda batch_size: Tried(batch_size, table[batch_size], batch_size * megabytes << 20)


def test_on_a_cpu_a_batch_grows_while_images_come_faster() -> None:
    chosen, tried = grow_while_faster(speeds({1: 2.0, 2: 3.0, 4: 3.05, 8: 9.0}), 64, 1 << 40)  # type: ignore[arg-type]
    assert chosen == 2
    assert [each.batch_size for each in tried] == [1, 2, 4]


def test_on_a_cpu_the_next_batch_is_not_tried_where_memory_would_not_suffice() -> None:
    chosen, tried = grow_while_faster(speeds({1: 1.0, 2: 2.0, 4: 4.0}), 64, 300 << 20)  # type: ignore[arg-type]
    assert chosen == 2
    assert [each.batch_size for each in tried] == [1, 2]


def test_the_canvas_is_that_of_the_largest_batch(scenes: Path) -> None:
    images = read_dataset(scenes).images  # 96 x 80
    narrow = replace(images[0], width=40, height=80)
    preprocess = tiny_config().preprocess
    assert largest_canvas([*images, narrow], (192, 160), preprocess) == (160, 192)


def settings_for(scenes: Path, checkpoint: Path, output: Path, **more: object) -> FinetuneSettings:
    output.mkdir()
    optimizer = OptimizerSettings(learning_rate=1e-3)
    return FinetuneSettings((scenes,), str(checkpoint), output, optimizer=optimizer, **more)  # type: ignore[arg-type]


CPU = Processes(0, 1, torch.device("cpu"))


def test_the_learning_rate_follows_the_images_a_step(tiny_checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    said: list[str] = []
    settings = settings_for(
        scenes, tiny_checkpoint, tmp_path / "run", batch_size=2, gradient_accumulation=3, base_batch_size=12
    )
    found = with_batch_size(settings, prepare(settings), CPU, said.append)
    assert found.optimizer.learning_rate == pytest.approx(1e-3 * 6 / 12)
    assert said == ["learning rate 0.0005 for 6 images a step; 0.001 is for 12 (the linear rule)"]
    plain = replace(settings, base_batch_size=None)
    assert with_batch_size(plain, prepare(plain), CPU, said.append) == plain


def test_what_was_found_is_kept_and_taken_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "many", 20)
    settings = settings_for(scenes, tiny_checkpoint, tmp_path / "run", batch_size=None)
    preparation = prepare(settings)
    weights = {name: value.clone() for name, value in preparation.network.state_dict().items()}
    random = torch.get_rng_state()
    found = with_batch_size(settings, preparation, CPU, lambda _: None)
    assert found.batch_size in (1, 2)  # with more an epoch of twenty images has fewer than eight steps
    assert found.optimizer.learning_rate == pytest.approx(1e-3 * found.batch_size / 4)
    assert all(torch.equal(value, weights[name]) for name, value in preparation.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    path = settings.output / BATCH_SIZE_FILE
    document = json.loads(path.read_text())
    assert document["learning_rate"] == pytest.approx(found.optimizer.learning_rate)
    path.write_text(json.dumps(document | {"batch_size": 7}))
    assert with_batch_size(settings, preparation, CPU, lambda _: None).batch_size == 7
    path.write_text("{}")
    with pytest.raises(FinetuneError, match="cannot be read"):
        with_batch_size(settings, preparation, CPU, lambda _: None)


@pytest.mark.training
def test_a_training_that_found_its_batch_size_goes_on_with_it(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes, output = write_scenes(tmp_path / "many", 16), tmp_path / "run"
    arguments = finetune_arguments(scenes, tiny_checkpoint, output, "--batch-size", "auto", "--epochs", "1")
    code = """
import os
from vfnet_train.loop import Loop
Loop.run = lambda self: os.kill(os.getpid(), 9)
"""
    assert run_python(code, arguments).returncode == -9
    before = (output / BATCH_SIZE_FILE).read_bytes()
    assert main(arguments) == 0
    assert "as found when this training began" in capsys.readouterr().err
    assert (output / BATCH_SIZE_FILE).read_bytes() == before
    report = json.loads((output / "metrics.json").read_text())["settings"]
    assert (report["batch_size"], report["batch size that was chosen"]) == (
        "auto",
        str(json.loads(before)["batch_size"]),
    )
