"""What the losses reward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vfnet_runtime.architecture.config import HeadConfig
from vfnet_train.losses import VFNetLoss, varifocal_loss

HEAD = HeadConfig(num_classes=2, strides=(8, 16, 32, 64, 128))
SIZES = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
BOX = torch.tensor([[32.0, 24.0, 90.0, 88.0]])


def outputs(distance_scale: float = 1.0, logit: float = -4.0) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Every point predicts `BOX`, its size scaled, and the same logit."""
    scores, boxes = [], []
    for (height, width), stride in zip(SIZES, HEAD.strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
        sides = (x - BOX[0, 0], y - BOX[0, 1], BOX[0, 2] - x, BOX[0, 3] - y)
        boxes.append((torch.stack(sides)[None] * distance_scale).requires_grad_())
        scores.append(torch.full((1, 2, height, width), logit, requires_grad=True))
    return scores, boxes, [box.detach().clone().requires_grad_() for box in boxes]


def losses(made: tuple[list[Tensor], list[Tensor], list[Tensor]], boxes: Tensor = BOX) -> dict[str, Tensor]:
    return VFNetLoss(HEAD)(made, [boxes], [torch.zeros(len(boxes), dtype=torch.int64)], [(128, 128)])


def test_a_perfect_box_costs_nothing() -> None:
    found = losses(outputs())
    assert found["loss_bbox"].item() == pytest.approx(0, abs=1e-5)
    assert found["loss_bbox_rf"].item() == pytest.approx(0, abs=1e-5)


def test_a_worse_box_costs_more() -> None:
    assert losses(outputs(1.5))["loss_bbox"] > losses(outputs(1.1))["loss_bbox"] > 0


def test_an_image_without_boxes_still_trains_the_classifier_and_has_finite_gradients() -> None:
    made = outputs()
    found = losses(made, torch.zeros(0, 4))
    assert found["loss_bbox"].item() == 0
    assert found["loss_cls"].item() > 0
    sum(found.values(), torch.zeros(())).backward()
    assert all(torch.isfinite(score.grad).all() for score in made[0] if score.grad is not None)


def test_the_classifier_is_drawn_towards_the_overlap_of_its_refined_box() -> None:
    made = outputs(logit=0.0)
    losses(made)["loss_cls"].backward()
    gradient = made[0][0].grad
    assert gradient is not None
    assert (gradient[0, 1] > 0).all()  # not this class: down everywhere
    assert (gradient[0, 0] < 0).any()  # this one: up where the box is learnt


def test_varifocal_loss_is_its_definition() -> None:
    logits, quality = torch.tensor([0.3, -1.2]), torch.tensor([0.8, 0.0])
    p = logits.sigmoid()
    positive = -0.8 * (0.8 * p[0].log() + 0.2 * (1 - p[0]).log())
    negative = -0.75 * p[1] ** 2 * (1 - p[1]).log()
    assert varifocal_loss(logits, quality).item() == pytest.approx((positive + negative).item(), rel=1e-6)


def test_a_head_without_atss_is_refused() -> None:
    with pytest.raises(ValueError, match="use_atss"):
        VFNetLoss(HeadConfig(use_atss=False))
