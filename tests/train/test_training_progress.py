"""What a log says of a training."""

from __future__ import annotations

import pytest

from vfnet_train.progress import TrainingProgress


def test_the_beginning_the_first_step_and_the_last_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(total_steps=12, steps_per_epoch=6, done=5, shown=True) as progress:
        progress.begin()
        for _ in range(7):
            progress.finish_step({"cls": 0.25, "bbox": 0.5}, 1e-4)
        progress.say("epoch 2: AP 0.5")
    begun, first, last, remark = capsys.readouterr().err.splitlines()
    assert begun == "vfnet finetune: training: 5 of 12 steps"
    assert first.startswith("vfnet finetune: epoch 1 of 2: 6 of 12 steps, ")
    assert first.endswith("; loss 0.750, cls 0.250, bbox 0.500, lr 0.0001")
    assert last.startswith("vfnet finetune: epoch 2 of 2: 12 of 12 steps, ")
    assert " left; loss 0.750" in last
    assert remark == "vfnet finetune: epoch 2: AP 0.5"
