"""What one step of a training does with several batches, and in half precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vfnet_train.batches import TrainingBatch
from vfnet_train.errors import FinetuneError
from vfnet_train.precision import gradient_scaler
from vfnet_train.processes import Processes
from vfnet_train.steps import Stepper

CPU = Processes(0, 1, torch.device("cpu"))


def batch(*values: float) -> TrainingBatch:
    """Images of one pixel."""
    images = torch.tensor(values).reshape(-1, 1, 1, 1)
    return TrainingBatch(
        images, [torch.zeros(0, 4)] * len(values), [torch.zeros(0, dtype=torch.int64)] * len(values), []
    )


class Line(nn.Module):
    """w * mean of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.weight * images.mean()


def stepped(batches: list[TrainingBatch], precision: str = "f32") -> tuple[float, dict[str, float]]:
    """The weight after one step of SGD at rate 1, and what was told of the losses."""
    model = Line()
    stepper = Stepper(
        model,
        lambda outputs, *_: {"loss": outputs.float()},
        torch.optim.SGD(model.parameters(), 1.0),
        CPU,
        precision=precision,
        max_gradient_norm=None,
        scaler=gradient_scaler(precision, CPU.device),
    )
    losses, _ = stepper.step(batches, stop=False)
    return model.weight.item(), losses


def test_gradients_and_losses_of_several_batches_are_averaged() -> None:
    weight, losses = stepped([batch(1.0, 3.0), batch(4.0, 8.0)])
    assert weight == 1 - (2 + 6) / 2
    assert losses == {"loss": 4.0}
    assert stepped([batch(1.0, 3.0, 4.0, 8.0)])[0] == weight


def test_half_precision_takes_the_same_step_and_leaves_one_that_overflows_out() -> None:
    assert stepped([batch(2.0)], "fp16")[0] == pytest.approx(-1.0)
    assert stepped([batch(1e36)], "fp16")[0] == 1.0  # 1e36 scaled by 65,536 is infinite


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_a_loss_that_is_no_number_ends_it(precision: str) -> None:
    with pytest.raises(FinetuneError, match="diverged"):
        stepped([batch(1.0), batch(math.nan)], precision)
