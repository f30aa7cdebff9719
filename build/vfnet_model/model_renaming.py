"""A built model under other names in Triton than it was built with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rename_models(config: Any, names: Mapping[str, str]) -> None:
    """In a `ModelConfig`, call the model and the steps of an ensemble by their new names, given by the old ones."""
    config.name = names.get(config.name, config.name)
    for step in config.ensemble_scheduling.step:
        step.model_name = names.get(step.model_name, step.model_name)
