"""A folder that AzureML's fine-tuning left is read as it lies there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError, UnsupportedModelError
from vfnet_model.checkpoints.loading import build_network
from vfnet_model.checkpoints.resolve import open_checkpoint

AUGMENTATIONS = """\
augmentation_library_name: albumentations
train:
- RandomExpand: {p: 0.5}
validation:
- ToFloat: {always_apply: true, p: 1}
- ConstraintResize: {always_apply: true, img_scale: [600, 1000], p: 1}
- PadIfNeeded: {always_apply: true, border_mode: 0, min_height: null, min_width: null, p: 1, pad_height_divisor: 32,
    pad_width_divisor: 32, position: top_left, value: 0}
- Normalize: {always_apply: true, max_pixel_value: 1.0, mean: [0.485, 0.456, 0.406], p: 1, std: [0.229, 0.224, 0.225]}
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_config_text: str, tiny_state_dict: dict[str, torch.Tensor]) -> Path:
    """An MLflow model as AzureML saves it, with the tiny network in it."""
    artifacts = tmp_path / "mlflow_model" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts.parent / "MLmodel").write_text("flavors: {python_function: {}}\n")
    torch.save({f"model.{key}": value for key, value in tiny_state_dict.items()}, artifacts / "pytorch_model.bin")
    torch.save({"state_dict": tiny_state_dict}, artifacts / "mmd_pytorch_model.pth")
    labels = ", ".join(f"'{label}': {name!r}" for label, name in enumerate(DEMO_CLASSES))
    (artifacts / "vfnet.py").write_text(f"{tiny_config_text}\nid2label = {{{labels}}}\n")
    (artifacts / "augmentations.yaml").write_text(AUGMENTATIONS)
    return artifacts.parent


def error_of(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder), accept_preprocessing=True)
    return str(caught.value)


@pytest.mark.parametrize("inner", [".", "artifacts"], ids=["MLflow model", "fine-tuning's output"])
def test_a_folder_becomes_its_network(folder: Path, inner: str, tiny_state_dict: dict[str, torch.Tensor]) -> None:
    checkpoint = open_checkpoint(str(folder / inner), accept_preprocessing=True)
    assert checkpoint.config.classes == DEMO_CLASSES
    assert checkpoint.config.preprocess.img_scale == (1000, 600)
    assert checkpoint.config.preprocess.mean == (123.675, 116.28, 103.53)
    assert checkpoint.config.preprocess.std == (58.395, 57.12, 57.375)
    assert "fine-tuned by AzureML; images are prepared as MMDetection does it" in checkpoint.description
    network = build_network(checkpoint)
    assert all(torch.equal(value, tiny_state_dict[key]) for key, value in network.state_dict().items())


def test_every_file_counts_for_what_was_built(folder: Path) -> None:
    before = open_checkpoint(str(folder), accept_preprocessing=True).sha256
    (folder / "artifacts" / "augmentations.yaml").write_text(AUGMENTATIONS.replace("600", "640"))
    assert open_checkpoint(str(folder), accept_preprocessing=True).sha256 != before


def test_given_classes_go_before_the_folders(folder: Path) -> None:
    assert open_checkpoint(str(folder), classes=list("abcd"), accept_preprocessing=True).config.classes == (
        "a",
        "b",
        "c",
        "d",
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("position: top_left, ", "", "PadIfNeeded.position is 'center'; supported: 'top_left'"),
        ("border_mode: 0, ", "", "PadIfNeeded.border_mode is 4; supported: 0"),
        ("- ToFloat: {", "- CenterCrop: {", "validation.CenterCrop is not supported; supported: ToFloat, "),
        ("600, 1000", "600", "ConstraintResize.img_scale is (600,)"),
        ("pad_height_divisor: 32", "pad_height_divisor: 30", "(30, 32); supported: equal multiples of 32"),
        ("validation:", "test:", "no list of steps under `validation`"),
        ("train:", "train: {", "is no YAML"),
    ],
)
def test_augmentations_that_cannot_be_reproduced_are_named(folder: Path, old: str, new: str, says: str) -> None:
    assert old in AUGMENTATIONS
    (folder / "artifacts" / "augmentations.yaml").write_text(AUGMENTATIONS.replace(old, new))
    assert says in error_of(folder)


def test_what_is_missing_is_said(folder: Path) -> None:
    artifacts = folder / "artifacts"
    config = artifacts / "vfnet.py"
    text = config.read_text()
    config.write_text(text.replace("'0': ", "'7': "))
    assert "expected are names for the labels 0, 1, 2 and so on" in error_of(folder)
    config.write_text("import os")
    assert "holds no mmdet config (vfnet.py: line 1 of the config text has `import os`" in error_of(folder)
    for path in (artifacts / "pytorch_model.bin", artifacts / "mmd_pytorch_model.pth"):
        path.unlink()
    assert "holds no weights; an AzureML model folder holds pytorch_model.bin" in error_of(folder)


def test_another_way_of_preparing_images_has_to_be_accepted(folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="--accept-preprocessing"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "vfnet.py", "augmentations.yaml"])
def test_links_are_followed_within_the_folder_only(folder: Path, tmp_path: Path, name: str) -> None:
    inside = folder / "artifacts" / name
    inside.rename(inside.with_name("kept"))
    inside.symlink_to("kept")
    assert open_checkpoint(str(folder), accept_preprocessing=True).config.classes == DEMO_CLASSES
    inside.with_name("kept").rename(tmp_path / "outside")
    inside.unlink()
    inside.symlink_to(tmp_path / "outside")
    assert f"{name} is a link that leads out of {folder}" in error_of(folder)


def test_artifacts_elsewhere_are_not_looked_into(folder: Path, tmp_path: Path) -> None:
    (folder / "artifacts").rename(tmp_path / "elsewhere")
    (folder / "artifacts").symlink_to(tmp_path / "elsewhere")
    assert "artifacts is a link that leads out of" in error_of(folder)


LAUGHS = "a0: &a0 [1, 2]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}, *a{i}]\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS + "validation: *a40\n", "has more than 10,000 values, aliases written out"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a], y: 1}\nvalidation: {<<: [*b, *b]}\n", "has a merge key (<<)"),
        ("validation: &a [*a]\n", "is nested more than 32 deep"),
        ("[" * 30_000, "augmentations.yaml "),
        ("validation: 2001-99-99\n", "is no YAML"),
        ("validation: " + "9" * 5000 + "\n", "is no YAML"),
        ("validation: !!python/object/apply:os.system ['true']\n", "is no YAML: could not determine a constructor"),
        ("validation: [{ConstraintResize: {img_scale: [100000, 1], keep_ratio: true}}]\n", "a list of integers"),
        ("validation: [{Normalize: {mean: [.nan, 0, 0], std: [1, 1, 1]}}]\n", "mean is (nan, 0, 0); supported: 3"),
        ("validation: [{Normalize: {mean: [0, 0, 0], std: [0, 1, 1]}}]\n", "three numbers of at least 1e-06"),
        ("validation: [{ToFloat: [1]}]\n", "validation.ToFloat is [1]; expected is a dict"),
        ('validation: [{"a\\e[2J": {}}]\n', r"validation.a\x1b[2J is not supported"),
        ("#" * 70_000, "is larger than"),
    ],
)  # fmt: skip
def test_augmentations_of_a_stranger_are_bounded(folder: Path, text: str, says: str) -> None:
    (folder / "artifacts" / "augmentations.yaml").write_text(text)
    message = error_of(folder)
    assert says in message
    assert message.isprintable()


def test_aliases_that_stand_for_little_are_read(folder: Path) -> None:
    shared = AUGMENTATIONS.replace("[600, 1000]", "&scale [600, 1000]") + "other: *scale\n"
    (folder / "artifacts" / "augmentations.yaml").write_text(shared)
    assert open_checkpoint(str(folder), accept_preprocessing=True).config.preprocess.img_scale == (1000, 600)


def test_configs_of_a_stranger_are_bounded(folder: Path) -> None:
    config = folder / "artifacts" / "vfnet.py"
    config.write_text("a = 1\n" * 400_000)
    assert "is larger than 2 MiB" in error_of(folder)
    config.write_text("id2label = dict()\nmodel = dict()\n")
    assert "expected are names for the labels 0, 1, 2 and so on" in error_of(folder)
    for number in range(30):
        (folder / "artifacts" / f"a{number:02}.py").write_text(f"import os  # \x1b[{number}m\n")
    message = error_of(folder)
    assert "holds no mmdet config (a00.py: line 1" in message
    assert len(message) < 1000
