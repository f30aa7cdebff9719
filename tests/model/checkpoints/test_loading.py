"""`load_checkpoint` reads VFNet checkpoints of every usual shape, and says what else a file is."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError, ConfigTextError, UnsupportedModelError
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_model.checkpoints.stock import COCO_CLASSES, DEFAULT_STOCK, STOCK_CHECKPOINTS
from vfnet_runtime.architecture.vfnet import VFNet

Save = Callable[..., Path]
Weights = dict[str, torch.Tensor]
SHARED = Path(__file__).parents[3].parent / "shared"
CLASS_BIAS = "bbox_head.vfnet_cls.bias"


def error_of(path: Path, **options: object) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_sound_checkpoint_loads_and_becomes_its_network(save: Save, tiny_state_dict: Weights, legacy: bool) -> None:
    path = save(legacy=legacy)
    checkpoint = load_checkpoint(path)
    assert checkpoint.config.classes == DEMO_CLASSES
    assert checkpoint.config.backbone.base_channels == 4
    assert (checkpoint.path, len(checkpoint.sha256), checkpoint.untrained) == (path, 64, False)
    assert checkpoint.description == ("VFNet ResNet-50 with DCNv2 in c3-c5, 4 classes, settings from its own config")
    network = build_network(checkpoint)
    assert not network.training
    assert all(torch.equal(value, tiny_state_dict[key]) for key, value in network.state_dict().items())


def test_wrappers_halves_and_leftovers_of_training_do_not_matter(save: Save, tiny_state_dict: Weights) -> None:
    halves = {f"module.{key}": v.half() if v.is_floating_point() else v for key, v in tiny_state_dict.items()}
    leftovers = {"ema_backbone_conv1_weight": torch.zeros(3)}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    checkpoint = load_checkpoint(save(state_dict=OrderedDict(halves | leftovers), optimizer=optimizer))
    assert checkpoint.state_dict.keys() == tiny_state_dict.keys()
    for key, value in checkpoint.state_dict.items():
        assert value.dtype == tiny_state_dict[key].dtype
        torch.testing.assert_close(value, tiny_state_dict[key], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_numpy_values_in_the_metadata_are_read(save: Save, legacy: bool) -> None:
    meta = {
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
        "curve": np.arange(4, dtype=np.float32),
        "CLASSES": np.array(DEMO_CLASSES),
    }
    assert load_checkpoint(save(meta=meta, legacy=legacy)).config.classes == DEMO_CLASSES


def test_numpy_2_names_are_read_too(save: Save) -> None:
    path = save(meta={"best": np.float64(0.5)})
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(path.with_name("renamed.pth"), "w") as renamed:
        for name in archive.namelist():
            content = archive.read(name)
            renamed.writestr(name, content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray"))
    assert path.with_name("renamed.pth").read_bytes() != data
    assert load_checkpoint(path.with_name("renamed.pth")).config.classes == DEMO_CLASSES


def test_given_classes_go_before_those_of_the_file(save: Save) -> None:
    assert load_checkpoint(save(), classes=["a", "b", "c", "d"]).config.classes == ("a", "b", "c", "d")


@pytest.mark.parametrize("found", ["can", ["can"], ("can",)])
def test_a_single_class_may_be_a_plain_string(save: Save, tiny_state_dict: Weights, found: object) -> None:
    one = {k: v[:1] if k.startswith("bbox_head.vfnet_cls.") else v for k, v in tiny_state_dict.items()}
    text = torch.load(save(), weights_only=False)["meta"]["config"].replace("num_classes=4", "num_classes=1")
    checkpoint = load_checkpoint(save(state_dict=one, meta={"CLASSES": found, "config": text}))
    assert checkpoint.config.classes == ("can",)
    assert "1 class," in checkpoint.description


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "does not name its 4 classes; give their names (--classes)"),
        ((), "does not name its 4 classes"),
        (("a", "b", "c"), "has 4 classes, but 3 names: 'a', 'b', 'c'"),
        (("a", "b", "c", 4), "must be texts"),
        (7, "must be texts"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(save: Save, found: object, says: str) -> None:
    assert says in error_of(save(meta={"CLASSES": found}))


def test_a_bare_state_dict_needs_architecture_and_classes(tmp_path: Path) -> None:
    stock = STOCK_CHECKPOINTS["vfnet_r50_fpn_1x_coco"]
    two_classes = replace(stock.config, head=replace(stock.config.head, num_classes=2))
    path = tmp_path / "weights.pth"
    torch.save(VFNet(two_classes).state_dict(), path)
    assert "does not name its 2 classes; give their names" in error_of(path)
    message = error_of(path, classes=["cat", "dog"])
    assert "holds no mmdet config" in message
    assert DEFAULT_STOCK.stem in message
    assert "has 2 classes, but 80 names" in error_of(path, architecture=stock.stem, classes=COCO_CLASSES)
    wrong = error_of(path, architecture=DEFAULT_STOCK.stem, classes=["cat", "dog"])
    assert "does not fit its architecture, VFNet ResNet-50 with DCNv2 in c3-c5" in wrong
    assert "conv2.conv_offset" in wrong
    checkpoint = load_checkpoint(path, architecture=stock.stem, classes=["cat", "dog"])
    assert checkpoint.config == replace(two_classes, classes=("cat", "dog"))


def test_an_unknown_architecture_is_answered_with_the_known(save: Save) -> None:
    with pytest.raises(CheckpointError, match="no architecture 'vfnet'; known are: vfnet_r50_fpn_1x_coco, "):
        load_checkpoint(save(), architecture="vfnet")


def test_a_published_name_with_other_content_is_refused(save: Save) -> None:
    assert "whose SHA-256 begins 6879c318, but its own begins" in error_of(save(name=DEFAULT_STOCK.file_name))


def test_stock_keys_are_those_of_mmdet() -> None:
    listing = SHARED / "reference/golden/state_dict_keys.txt"
    if not listing.exists():
        pytest.skip(f"needs {listing.name} of the reference folder beside the repository")
    expected = [line.split("\t") for line in listing.read_text().splitlines()]
    ours = VFNet(DEFAULT_STOCK.config).state_dict()
    assert [[key, str(tuple(value.shape)), str(value.dtype)] for key, value in ours.items()] == expected


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda w: w.pop("backbone.conv1.weight"), "it lacks 'backbone.conv1.weight'"),
        (lambda w: w.update(extra=torch.zeros(1)), "it has 'extra', which the network does not"),
        (
            lambda w: w.update({"neck.lateral_convs.0.conv.bias": torch.zeros(5)}),
            "it has neck.lateral_convs.0.conv.bias of shape [5] where [32] is expected",
        ),
        (lambda w: w["backbone.conv1.weight"].fill_(float("nan")), "backbone.conv1.weight holds values that are not"),
        (lambda w: w.update(epoch=3), "the state dict's 'epoch' is a int"),
        (lambda w: w.pop("bbox_head.vfnet_cls.weight"), "is no VFNet checkpoint: it has no bbox_head.vfnet_cls.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_examples(
    save: Save, tiny_state_dict: Weights, edit: Callable[[Weights], object], says: str
) -> None:
    weights = {key: value.clone() for key, value in tiny_state_dict.items()}
    edit(weights)
    assert says in error_of(save(state_dict=weights))


def test_another_detectors_checkpoint_is_named(save: Save) -> None:
    weights = {"backbone.conv1.weight": torch.zeros(2), "bbox_head.retina_cls.weight": torch.zeros(2)}
    message = error_of(save(state_dict=weights, meta={"config": "model = dict(type='RetinaNet')"}))
    assert "is no VFNet checkpoint: its config says 'RetinaNet'" in message


def test_config_errors_name_the_file_and_the_way_out(save: Save) -> None:
    path = save(meta={"config": "import os"})
    with pytest.raises(ConfigTextError, match=r"tiny\.pth: line 1 .*`import os`.*--architecture"):
        load_checkpoint(path)
    with pytest.raises(UnsupportedModelError, match=r"tiny\.pth: the config has no `model`"):
        load_checkpoint(save(meta={"config": "a = 1"}))
    assert "holds no mmdet config" in error_of(save(meta={"config": None}))


class RunsCode:
    """Unpickled, it would make a directory."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(save: Save, tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "executed"
    message = error_of(save(meta={"hook": RunsCode(marker)}, legacy=legacy))
    assert not marker.exists()
    assert "mkdir`, that is not loaded, because loading it could run code" in message
    assert "torch.save({'state_dict'" in message  # how to re-save it


def test_object_arrays_are_not_among_the_allowed(save: Save) -> None:
    error_of(save(meta={"a": np.array([{}, []], dtype=object)}))


def not_a_checkpoint(kind: str, path: Path) -> None:
    sound = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(100)}}, sound)
    legacy = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(100)}}, legacy, _use_new_zipfile_serialization=False)
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("readme.txt", "hello")
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), script)  # type: ignore[no-untyped-call]
    tensor = io.BytesIO()
    torch.save(torch.zeros(3), tensor)
    contents = {
        "empty": b"",
        "text": b"Hello, this is\na text.\n",
        "html": b"\n<!DOCTYPE html><html><body>404</body></html>",
        "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "other zip": other_zip.getvalue(),
        "torchscript": script.getvalue(),
        "cut zip": sound.getvalue()[:-300],
        "cut legacy": legacy.getvalue()[:-100],
        "pickle": pickle.dumps({"a": 1}),
        "a tensor": tensor.getvalue(),
    }
    path.write_bytes(contents[kind])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "is an empty file"),
        ("text", "is a text file, beginning 'Hello, this is"),
        ("html", "is a web page (HTML)"),
        ("lfs pointer", "is a Git LFS pointer"),
        ("picture", "is a file of another kind, beginning with the bytes 89 50 4e 47"),
        ("other zip", "is a zip archive without a checkpoint in it (it has readme.txt)"),
        ("torchscript", "is a TorchScript archive"),
        ("cut zip", "is an incomplete file"),
        ("cut legacy", "is damaged or incomplete"),
        ("pickle", "is a Python pickle that torch.save did not write"),
        ("a tensor", "holds a Tensor; expected are {'state_dict'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_file_of_another_kind_is_called_what_it_is(kind: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    not_a_checkpoint(kind, path)
    assert says in error_of(path)


def test_a_missing_file_and_a_directory_are_called_that(tmp_path: Path) -> None:
    assert "there is no file" in error_of(tmp_path / "missing.pth")
    assert "is a directory" in error_of(tmp_path)
