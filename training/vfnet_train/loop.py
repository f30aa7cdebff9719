"""The epochs of a training: steps, evaluation, checkpoints, and the state that lets it go on after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vfnet_data.dataset import DetectionDataset
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.batches import Batches
from vfnet_train.errors import InterruptedTrainingError
from vfnet_train.evaluation import evaluate_network
from vfnet_train.interruption import Interruption
from vfnet_train.metrics import Metrics, Record
from vfnet_train.optimisation import Schedule, set_learning_rate
from vfnet_train.output_checkpoint import write_checkpoint
from vfnet_train.processes import Processes
from vfnet_train.progress import TrainingProgress
from vfnet_train.run_folder import BEST_CHECKPOINT, LAST_CHECKPOINT
from vfnet_train.settings import FinetuneSettings
from vfnet_train.steps import Stepper
from vfnet_train.trainable_parts import train_mode
from vfnet_train.training_state import TrainingState


@dataclass
class Loop:
    """A training from wherever its state is to its end."""

    settings: FinetuneSettings
    state: TrainingState
    batches: Batches
    schedule: Schedule
    stepper: Stepper
    validation: DetectionDataset | None
    metrics: Metrics
    processes: Processes
    interruption: Interruption
    progress: TrainingProgress
    on_epoch: Callable[[Record], None] | None = None
    """See `finetune`."""
    last_save: float = 0.0

    def run(self) -> None:
        """Train until the last epoch, or until early stopping.

        Raises:
            InterruptedTrainingError: a signal came; the state is saved.
            FinetuneError: the training diverged.
        """
        position = self.state.position
        self.last_save = time.monotonic()
        while position.epoch < self.schedule.epochs and not self.stopped_early:
            self._train_epoch()
            self._finish_epoch()

    @property
    def stopped_early(self) -> bool:
        """Whether the last evaluations were no better than one before them."""
        patience = self.settings.early_stopping
        return patience is not None and self.state.position.evaluations_since_best >= patience

    @property
    def evaluated_network(self) -> VFNet:
        """The one that is evaluated and kept: the average, if there is one."""
        return self.state.network if self.state.average is None else self.state.average.network

    def _train_epoch(self) -> None:
        position, network = self.state.position, self.state.network
        backbone = network.config.backbone
        train_mode(network, backbone.frozen_stages, backbone.norm_eval)
        began = time.monotonic()
        for batches in self.batches.epoch(position.epoch, position.step_in_epoch):
            if position.step == self.schedule.total_steps:
                break  # of the last epoch, which may be cut short
            rate = set_learning_rate(self.state.optimizer, self.schedule.factor(position.step))
            stop_wanted = self.interruption.signal_number != 0
            losses, stop = self.stepper.step(batches, stop_wanted)
            if self.state.average is not None:
                self.state.average.update(network, position.step)
            position.step += 1
            position.step_in_epoch += 1
            position.seconds += time.monotonic() - began
            began = time.monotonic()
            for name, value in losses.items():
                position.loss_sums[name] = position.loss_sums.get(name, 0.0) + value
            self._tell(losses, rate)
            self._save_if_due()
            if stop:
                self._stop()
        self.save()

    def _tell(self, losses: dict[str, float], rate: float) -> None:
        position = self.state.position
        self.progress.finish_step(losses, rate)
        if self.processes.is_main and position.step % self.settings.log_steps == 0:
            record = {"kind": "step", "epoch": position.epoch + 1, "step": position.step, "learning_rate": rate}
            self.metrics.add(record | {"loss": sum(losses.values())} | losses)

    def _finish_epoch(self) -> None:
        """Evaluate if it is time to, write the checkpoints, and only then count the epoch as finished."""
        position = self.state.position
        means = {name: total / position.step_in_epoch for name, total in position.loss_sums.items()}
        record = {"kind": "epoch", "epoch": position.epoch + 1, "step": position.step, "loss": sum(means.values())}
        record |= means
        figures: dict[str, float] = {}
        best = False
        if self.validation is not None and self._evaluation_due(position.epoch + 1):
            evaluation = evaluate_network(
                self.evaluated_network, self.validation, self.processes, self._check, self.settings.tiling
            )
            figures = evaluation.figures
            record |= figures
            record["per_class_AP"] = {name: found.AP for name, found in evaluation.per_class.items()}
            best = figures[self.settings.best_metric] > position.best_figure
        position.begin_next_epoch()
        if best:
            position.best_figure = figures[self.settings.best_metric]
            position.best_epoch, position.evaluations_since_best = position.epoch, 0
        elif figures:
            position.evaluations_since_best += 1
        record["seconds"] = round(position.seconds, 3)
        if self.processes.is_main:
            self.metrics.add(record)
            self._write_checkpoints(figures, best)
        self.save()
        self.progress.say(_describe(position.epoch, means, figures, best))
        if self.on_epoch is not None and self.processes.is_main:
            self.on_epoch(record)

    def _evaluation_due(self, epoch: int) -> bool:
        return epoch % self.settings.evaluate_every == 0 or epoch == self.schedule.epochs

    def _write_checkpoints(self, figures: dict[str, float], best: bool) -> None:
        position, output, tiling = self.state.position, self.settings.output, self.settings.tiling
        write_checkpoint(output / LAST_CHECKPOINT, self.evaluated_network, position, figures, tiling)
        if best:
            write_checkpoint(output / BEST_CHECKPOINT, self.evaluated_network, position, figures, tiling)

    def _save_if_due(self) -> None:
        every = self.settings.save_steps
        minutes = (time.monotonic() - self.last_save) / 60
        if minutes >= self.settings.save_minutes or (every and self.state.position.step % every == 0):
            self.save()

    def save(self) -> None:
        """Write the state, which is the same in every process."""
        if self.processes.is_main:
            self.state.save(self.settings.output)
        self.last_save = time.monotonic()

    def _check(self) -> None:
        """Between the images of an evaluation, before which the state was saved."""
        if self.interruption.signal_number:
            self._raise_interrupted()

    def _stop(self) -> None:
        self.save()
        self.processes.wait()
        self._raise_interrupted()

    def _raise_interrupted(self) -> None:
        position = self.state.position
        raise InterruptedTrainingError(
            f"stopped after step {position.step} of {self.schedule.total_steps}; everything is saved in "
            f"{self.settings.output}: the same command goes on from there",
            self.interruption.signal_number or 15,  # another process was told
        )


def _describe(epoch: int, losses: dict[str, float], figures: dict[str, float], best: bool) -> str:
    told = f"epoch {epoch}: loss {sum(losses.values()):.4f}"
    if figures:
        told += f", AP {figures['AP']:.4f}, AP50 {figures['AP50']:.4f}" + (" (the best so far)" if best else "")
    return told
