"""docs/moving-a-training.md names every key of AzureML's YAML, and options that there are."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from shared_data import ROOT
from vfnet.commands import build, finetune, sweep
from vfnet_client.commands.settings_options import settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_train.sweep.search_space import read_search_space
from vfnet_train.sweep.settings import SweepSettings
from vfnet_train.sweep.trials import make_trial, options_to_try

PAGE = (ROOT / "docs" / "moving-a-training.md").read_text(encoding="utf-8")
AUTOML = """
    training_data validation_data validation_data_size target_column_name primary_metric limits sweep search_space
    timeout_minutes trial_timeout_minutes max_trials max_concurrent_trials sampling_algorithm early_termination compute
    resources advanced_settings ams_gradient augmentations beta1 beta2 checkpoint_frequency checkpoint_model
    checkpoint_run_id distributed early_stopping early_stopping_delay early_stopping_patience enable_onnx_normalization
    evaluation_frequency gradient_accumulation_step layers_to_freeze learning_rate learning_rate_scheduler model_name
    momentum nesterov number_of_epochs number_of_workers optimizer random_seed split_ratio step_lr_gamma
    step_lr_step_size training_batch_size validation_batch_size warmup_cosine_lr_cycles warmup_cosine_lr_warmup_epochs
    weight_decay box_detections_per_image box_score_threshold image_size max_size min_size model_size multi_scale
    nms_iou_threshold tile_grid_size tile_overlap_ratio tile_predictions_nms_threshold validation_iou_threshold
    validation_metric_type log_training_metrics log_validation_loss bandit median_stopping truncation_selection
    truncation_percentage exclude_finished_jobs choice uniform quniform loguniform qloguniform normal qnormal lognormal
    qlognormal randint
"""
"""Of the job's schema, `ImageModelSettingsObjectDetection` and the distributions, azure-ai-ml 1.x."""
COMPONENT = """
    training_data validation_data image_min_size image_max_size metric_for_best_model apply_augmentations
    number_of_workers apply_deepspeed deepspeed_config apply_ort number_of_epochs max_steps training_batch_size
    validation_batch_size auto_find_batch_size learning_rate learning_rate_scheduler warmup_steps optimizer weight_decay
    extra_optim_args gradient_accumulation_step precision iou_threshold box_score_threshold random_seed
    evaluation_strategy evaluation_steps logging_strategy logging_steps save_strategy save_steps save_total_limit
    early_stopping early_stopping_patience max_grad_norm resume_from_checkpoint save_as_mlflow_model
"""
"""Inputs of `mmdetection_image_objectdetection_instancesegmentation_finetune` that say how to train."""


def test_every_key_is_named() -> None:
    keys = {*AUTOML.split(), *COMPONENT.split()}
    assert keys - set(re.findall(r"`(\w+)`", PAGE)) - set(re.findall(r"^ *(\w+):", PAGE, re.MULTILINE)) == set()


def test_options_exist() -> None:
    known = set()
    for command in (finetune, sweep, build):
        parser = SettingsParser() if hasattr(command, "PARSER") else argparse.ArgumentParser()
        command.add_arguments(parser)
        known |= set(parser._option_string_actions)
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) <= known


def test_the_example_is_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0])
    (words,) = re.findall(r"^    vfnet sweep (.*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    parser = argparse.ArgumentParser()
    sweep.add_arguments(parser)
    words = words.replace("\\\n", " ").replace("space.toml", str(tmp_path / "space.toml"))
    arguments = parser.parse_args(shlex.split(words))
    settings, base = settings_from(SweepSettings, arguments), finetune.settings_of(arguments)
    points = read_search_space(settings.space, list(options_to_try())).points(settings.sampling, 10, base.seed)
    assert len([make_trial(number, point, base) for number, point in enumerate(points, 1)]) == 10
    assert (base.epochs, base.early_stopping, settings.slack_factor, settings.delay_evaluation) == (20, 5, 0.2, 6)
