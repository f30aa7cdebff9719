"""Options that say how the network learns: optimiser, schedule, augmentation."""

from __future__ import annotations

import argparse

from vfnet_client.commands.options import at_least_one, fraction
from vfnet_train.argument_types import not_negative, positive, scale, whole
from vfnet_train.settings import MULTISCALE_MODES, OPTIMIZERS, SCHEDULES, AugmentationSettings, OptimizerSettings


def add_optimiser_options(parser: argparse.ArgumentParser) -> None:
    """Two groups of options."""
    _add_optimiser(parser.add_argument_group("optimiser"))
    _add_augmentation(parser.add_argument_group("augmentation"))


def optimizer_settings(arguments: argparse.Namespace) -> OptimizerSettings:
    """The first group's."""
    return OptimizerSettings(
        optimizer=arguments.optimizer,
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        weight_decay=arguments.weight_decay,
        bias_learning_rate_factor=arguments.bias_learning_rate_factor,
        bias_weight_decay_factor=arguments.bias_weight_decay_factor,
        max_gradient_norm=arguments.max_gradient_norm or None,
        schedule=arguments.schedule,
        warmup_steps=arguments.warmup_steps,
        warmup_ratio=arguments.warmup_ratio,
        step_epochs=tuple(arguments.step_epochs),
    )


def augmentation_settings(arguments: argparse.Namespace) -> AugmentationSettings:
    """The second group's."""
    return AugmentationSettings(
        scales=tuple(arguments.scale),
        multiscale_mode=arguments.multiscale_mode,
        flip_probability=arguments.flip_probability,
        photometric_distortion=arguments.photometric_distortion,
    )


def _add_optimiser(group: argparse._ArgumentGroup) -> None:
    default = OptimizerSettings()
    group.add_argument("--optimizer", choices=OPTIMIZERS, default=default.optimizer, help="(default: %(default)s)")
    group.add_argument(
        "--learning-rate", type=positive, default=default.learning_rate, metavar="RATE", help="(default: %(default)g)"
    )
    group.add_argument(
        "--momentum", type=fraction, default=default.momentum, metavar="SHARE", help="SGD's (default: %(default)g)"
    )
    group.add_argument(
        "--weight-decay",
        type=not_negative,
        default=default.weight_decay,
        metavar="SHARE",
        help="(default: %(default)g)",
    )
    group.add_argument(
        "--bias-learning-rate-factor",
        type=positive,
        default=default.bias_learning_rate_factor,
        metavar="FACTOR",
        help="for biases that belong to no normalisation; mmdet trains VFNet with 2 (default: %(default)g)",
    )
    group.add_argument(
        "--bias-weight-decay-factor",
        type=not_negative,
        default=default.bias_weight_decay_factor,
        metavar="FACTOR",
        help="for the same biases (default: %(default)g)",
    )
    group.add_argument(
        "--max-gradient-norm",
        type=not_negative,
        default=default.max_gradient_norm,
        metavar="NORM",
        help="gradients are scaled down to it; 0: never (default: %(default)g)",
    )
    group.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default=default.schedule,
        help="of the learning rate; step: divided by ten at --step-epochs, as mmdet's (default: %(default)s)",
    )
    group.add_argument(
        "--step-epochs",
        type=at_least_one,
        nargs="+",
        default=[],
        metavar="EPOCH",
        help="for the schedule step: after which epochs (default: after 8/12 and 11/12 of them)",
    )
    group.add_argument(
        "--warmup-steps", type=whole, default=default.warmup_steps, metavar="STEPS", help="(default: %(default)s)"
    )
    group.add_argument(
        "--warmup-ratio",
        type=fraction,
        default=default.warmup_ratio,
        metavar="SHARE",
        help="of the learning rate, where the linear warm-up begins (default: %(default)g)",
    )
    group.add_argument(
        "--ema-decay",
        type=fraction,
        metavar="SHARE",
        help="evaluate and keep a moving average of the weights, such as 0.999; helps with few images (default: off)",
    )


def _add_augmentation(group: argparse._ArgumentGroup) -> None:
    default = AugmentationSettings()
    group.add_argument(
        "--scale",
        type=scale,
        nargs="+",
        default=[],
        metavar="LONGxSHORT",
        help="pixels an image is resized to fit, keeping its ratio (default: the checkpoint's own test scale)",
    )
    group.add_argument(
        "--multiscale-mode",
        choices=MULTISCALE_MODES,
        default=default.multiscale_mode,
        help="of several scales, value: one of them; range: any between the two (default: %(default)s)",
    )
    group.add_argument(
        "--flip-probability",
        type=fraction,
        default=default.flip_probability,
        metavar="SHARE",
        help="of mirrored images (default: %(default)g)",
    )
    group.add_argument(
        "--photometric-distortion",
        action="store_true",
        help="random brightness, contrast, saturation, hue and channel order; helps with few images",
    )
