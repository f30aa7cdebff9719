"""`finetune`: from settings to a trained checkpoint, its figures and a report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from vfnet_client.safe_text import printable_lines
from vfnet_train.batch_size import with_batch_size
from vfnet_train.batches import AugmentedImages, Batches, BatchOrder
from vfnet_train.interruption import Interruption, noticed_signals
from vfnet_train.loop import Loop
from vfnet_train.losses import VFNetLoss
from vfnet_train.metrics import Metrics, Record
from vfnet_train.moving_average import MovingAverage
from vfnet_train.optimisation import Schedule, make_optimizer
from vfnet_train.precision import MEMORY_FORMAT, gradient_scaler, keep_in_float32
from vfnet_train.preparation import Preparation, prepare
from vfnet_train.processes import Processes, started_processes
from vfnet_train.progress import TrainingProgress
from vfnet_train.report import write_report
from vfnet_train.run_folder import BEST_CHECKPOINT, LAST_CHECKPOINT, claim_folder
from vfnet_train.settings import FinetuneSettings
from vfnet_train.steps import Stepper
from vfnet_train.trainable_parts import freeze
from vfnet_train.training_state import Position, TrainingState


@dataclass(frozen=True)
class FinetuneOutcome:
    """Where the result is."""

    checkpoint: Path
    """The best by `settings.best_metric` on the validation data; without such data the last."""
    best_figure: float | None
    is_main: bool
    """Whether this process is the one that speaks."""


def finetune(settings: FinetuneSettings, on_epoch: Callable[[Record], None] | None = None) -> FinetuneOutcome:
    """Train, or go on with the training that `settings.output` holds. Progress is told on stderr.

    Args:
        on_epoch: called in the main process with each finished epoch's figures, once they are saved; first with those
            of the epochs that were finished before. It may raise to stop.

    Raises:
        DatasetError: the data cannot be used; nothing was computed or written.
        CheckpointError: neither can the checkpoint.
        FinetuneError: anything else that stops a training; an InterruptedTrainingError after a signal.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with noticed_signals() as interruption, started_processes(settings.device) as processes:
        with processes.main_first():
            preparation = prepare(settings)
            if processes.is_main:
                identity = {**preparation.identity, "processes": str(processes.world_size)}
                claim_folder(settings.output, identity)
                for note in preparation.notes:
                    _say(note)
        chosen = with_batch_size(settings, preparation, processes, _say)
        if chosen != settings:
            found = {"batch size": str(chosen.batch_size), "learning rate": f"{chosen.optimizer.learning_rate:.6g}"}
            found = {f"{name} that was chosen": value for name, value in found.items()}
            preparation = replace(preparation, identity={**preparation.identity, **found})
        best = _train(chosen, preparation, processes, interruption, on_epoch)
        kept = LAST_CHECKPOINT if best is None else BEST_CHECKPOINT
        return FinetuneOutcome(settings.output / kept, best, processes.is_main)


def _train(
    settings: FinetuneSettings,
    preparation: Preparation,
    processes: Processes,
    interruption: Interruption,
    on_epoch: Callable[[Record], None] | None,
) -> float | None:
    """Run the loop to its end and write the report; the best figure, if there was an evaluation."""
    network = preparation.network.to(processes.device)
    network = network.to(memory_format=MEMORY_FORMAT)  # type: ignore[call-overload]
    freeze(network, network.config.backbone.frozen_stages)
    keep_in_float32(network)
    average = None if settings.ema_decay is None else MovingAverage(network, settings.ema_decay)
    optimizer = make_optimizer(network, settings.optimizer)
    position = Position()
    scaler = gradient_scaler(settings.precision, processes.device)
    state = TrainingState(position, network, optimizer, average, scaler)
    resumed = state.restore(settings.output)

    rank, world_size = processes.rank, processes.world_size
    assert settings.batch_size is not None
    order = BatchOrder(
        preparation.training, settings.batch_size, settings.seed, rank, world_size, settings.gradient_accumulation
    )
    own = preparation.checkpoint.config.preprocess
    dataset = AugmentedImages(preparation.training, settings.augmentation, own, settings.seed)
    epochs = settings.epochs if settings.max_steps is None else -(-settings.max_steps // order.steps_per_epoch)
    schedule = Schedule(settings.optimizer, epochs, order.steps_per_epoch, settings.max_steps)
    metrics = Metrics(settings.output)
    if processes.is_main:
        metrics.begin(position.step, position.epoch)
        _say(_plan(settings, preparation, schedule, processes))
        if resumed:
            _say(_where(settings, position, schedule))
        if on_epoch is not None:
            for record in metrics.read():
                if record["kind"] == "epoch":
                    on_epoch(record)
    with TrainingProgress(
        schedule.total_steps, schedule.steps_per_epoch, position.step, shown=processes.is_main
    ) as progress:
        progress.begin()
        loop = Loop(
            settings,
            state,
            Batches(dataset, order, settings.workers, pin_memory=processes.device.type == "cuda"),
            schedule,
            Stepper(
                _distribute(network, processes),
                VFNetLoss(network.config.head),
                optimizer,
                processes,
                precision=settings.precision,
                max_gradient_norm=settings.optimizer.max_gradient_norm,
                scaler=scaler,
            ),
            preparation.validation,
            metrics,
            processes,
            interruption,
            progress,
            on_epoch,
        )
        loop.run()
    if processes.is_main:
        write_report(settings.output, preparation, metrics.read(), position)
    processes.wait()
    return position.best_figure if position.best_epoch else None


def _distribute(network: nn.Module, processes: Processes) -> nn.Module:
    """The network, of which gradients are averaged over the processes."""
    if processes.world_size == 1:
        return network
    device_ids = [processes.device.index] if processes.device.type == "cuda" else None
    # Buffers belong to batch normalisation, whose statistics mmdet does not share either.
    return nn.parallel.DistributedDataParallel(network, device_ids, broadcast_buffers=False)


def _plan(settings: FinetuneSettings, preparation: Preparation, schedule: Schedule, processes: Processes) -> str:
    validation = preparation.validation
    checked = "without validation" if validation is None else f"validated on {len(validation.images)}"
    many = f", {processes.world_size} processes" if processes.world_size > 1 else ""
    steps = f"{schedule.epochs} epochs of {schedule.steps_per_epoch} steps"
    if settings.max_steps is not None:
        steps = f"{schedule.total_steps} steps, {schedule.steps_per_epoch} an epoch,"
    return (
        f"{preparation.checkpoint.description}: {len(preparation.training)} images, {checked}; {steps} on "
        f"{processes.device} in {settings.precision}{many}"
    )


def _where(settings: FinetuneSettings, position: Position, schedule: Schedule) -> str:
    if position.epoch >= schedule.epochs:
        return f"already finished: {settings.output} holds all {schedule.epochs} epochs"
    return f"going on after step {position.step} of {schedule.total_steps}, as saved in {settings.output}"


def _say(message: str) -> None:
    print(printable_lines(f"vfnet finetune: {message}"), file=sys.stderr, flush=True)
