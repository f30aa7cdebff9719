"""One step: forward, losses, backward for each of its batches; then clip and update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

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
        scaler: torch.amp.GradScaler,
    ) -> None:
        self._model, self._loss, self._optimizer, self._processes = model, loss, optimizer, processes
        self._precision, self._max_gradient_norm, self._scaler = precision, max_gradient_norm, scaler
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step(self, batches: Sequence[TrainingBatch], stop: bool) -> tuple[dict[str, float], bool]:
        """Train on some batches, whose gradients are averaged.

        Args:
            batches: one after another they go to the device of the network.
            stop: whether this process wants to stop afterwards.

        Returns:
            The losses, averaged over batches and processes; and whether any process wants to stop.

        Raises:
            FinetuneError: a loss or the gradients are not finite; the weights are those before this step.
        """
        self._optimizer.zero_grad(set_to_none=True)
        of_batches = []
        for number, batch in enumerate(batches, 1):
            with nullcontext() if number == len(batches) else self._without_exchange():
                losses = self._backward(batch.to(self._processes.device), len(batches))
            of_batches.append({name: loss.detach() for name, loss in losses.items()})
        means, stops = self._agree(of_batches, stop)
        self._scaler.unscale_(self._optimizer)
        self._clip(means)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return means, stops

    def _backward(self, batch: TrainingBatch, batches: int) -> dict[str, Tensor]:
        """Add this batch's share of the step's gradients; its losses."""
        with autocast(self._precision, self._processes.device):
            outputs = self._model(batch.images)
        losses = self._loss(outputs, batch.gt_boxes, batch.gt_labels, batch.pad_shapes)
        total = torch.stack(list(losses.values())).sum() / batches
        self._scaler.scale(total).backward()
        return losses

    def _without_exchange(self) -> AbstractContextManager[None]:
        """Processes exchange their gradients once a step, with the last batch."""
        model = self._model
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _agree(self, of_batches: Sequence[dict[str, Tensor]], stop: bool) -> tuple[dict[str, float], bool]:
        """What all processes know: mean losses, and whether one of them was told to stop."""
        stacked = torch.stack([torch.stack(list(losses.values())) for losses in of_batches])
        values = stacked.double().mean(0).tolist()
        *sums, stops = self._processes.sum([*values, float(stop)])
        means = [value / self._processes.world_size for value in sums]
        return dict(zip(of_batches[0], means, strict=True)), stops > 0

    def _clip(self, losses: dict[str, float]) -> None:
        norm = math.inf if self._max_gradient_norm is None else self._max_gradient_norm
        found = nn.utils.clip_grad_norm_(self._parameters, norm)
        # In half precision gradients may overflow: the scaler leaves the step out and scales less, down to 1.
        overflowed = self._scaler.is_enabled() and self._scaler.get_scale() > 1
        if not math.isfinite(sum(losses.values())) or not (math.isfinite(float(found)) or overflowed):
            described = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
            raise FinetuneError(
                f"the training diverged ({described}; gradient norm {float(found):.4g}): try a lower learning rate, a "
                "longer warm-up, or gradient clipping"
            )
