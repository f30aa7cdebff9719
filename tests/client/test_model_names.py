"""Names of models: what can be chosen, and what Triton gets."""

from __future__ import annotations

import pytest

from vfnet_client.async_client import AsyncVFNetClient
from vfnet_client.model_names import (
    MODEL,
    EnsembleNames,
    check_ensemble_name,
    check_model_name,
    deployment_name,
    model_of,
)


@pytest.mark.parametrize("name", [MODEL, "a", "fast-2", "A_b", "detector", "x" * 40])
def test_names_that_can_be_chosen(name: str) -> None:
    assert check_model_name(name) == name
    assert len(set(EnsembleNames(name).all)) == 4


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2fast",
        "a.2",
        "a b",
        "a/b",
        "../a",
        "x" * 41,
        "ä",
        "a\n",
        "-a",
        "a_detector",
        "a_preprocess",
        "_postprocess",
    ],
)
def test_others_are_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(ValueError, match=r"a letter, then letters, digits, - or _, at most 40"):
        check_model_name(name)


def test_a_deployment_is_named_after_its_model() -> None:
    assert deployment_name(MODEL, 1) == MODEL
    assert check_ensemble_name(deployment_name("my-model", 12)) == "my-model.12"
    assert EnsembleNames("my-model.12").detector == "my-model.12_detector"
    assert model_of("my-model.12") == model_of("my-model") == "my-model"


@pytest.mark.parametrize("name", ["a.", "a.0", "a.01", "a.b", "a.2.3", "a_detector.2", ".2", "a.9999999999"])
def test_what_is_neither_model_nor_deployment_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"as in vfnet\.2"):
        check_ensemble_name(name)
    with pytest.raises(ValueError, match="a model cannot be called"):
        AsyncVFNetClient(model=name)
