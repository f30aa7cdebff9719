"""One step: forward, losses, backward, clip, update."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vfnet_train.batches import TrainingBatch
from vfnet_train.errors import FinetuneError
from vfnet_train.precision import autocast
from vfnet_train.processes import Processes

Losses = Callable[..., dict[str, Tensor]]


class Stepper:
    """Takes steps with one network, which a DDP wrapper may hold."""

    def __init__(
        self,
        model: nn.Module,
        loss: Losses,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        *,
        precision: str,
        max_gradient_norm: float | None,
    ) -> None:
        self._model, self._loss, self._optimizer, self._processes = model, loss, optimizer, processes
        self._precision, self._max_gradient_norm = precision, max_gradient_norm
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step(self, batch: TrainingBatch, stop: bool) -> tuple[dict[str, float], bool]:
        """Train on one batch.

        Args:
            batch: on the device of the network.
            stop: whether this process wants to stop afterwards.

        Returns:
            The losses, averaged over the processes; and whether any process wants to stop.

        Raises:
            FinetuneError: a loss or the gradients are not finite; the weights are those before this step.
        """
        with autocast(self._precision, self._processes.device):
            outputs = self._model(batch.images)
        losses = self._loss(outputs, batch.gt_boxes, batch.gt_labels, batch.pad_shapes)
        total = torch.stack(list(losses.values())).sum()
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        means, stops = self._agree(losses, stop)
        self._clip(means)
        self._optimizer.step()
        return means, stops

    def _agree(self, losses: dict[str, Tensor], stop: bool) -> tuple[dict[str, float], bool]:
        """What all processes know: mean losses, and whether one of them was told to stop."""
        values = torch.stack([loss.detach() for loss in losses.values()]).double().tolist()
        *sums, stops = self._processes.sum([*values, float(stop)])
        means = [value / self._processes.world_size for value in sums]
        return dict(zip(losses, means, strict=True)), stops > 0

    def _clip(self, losses: dict[str, float]) -> None:
        norm = math.inf if self._max_gradient_norm is None else self._max_gradient_norm
        found = nn.utils.clip_grad_norm_(self._parameters, norm)
        if not (math.isfinite(sum(losses.values())) and math.isfinite(float(found))):
            described = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
            raise FinetuneError(
                f"the training diverged ({described}; gradient norm {float(found):.4g}): try a lower learning rate, a "
                "longer warm-up, or gradient clipping"
            )
