"""The PyTorch configuration, served by the real Triton: OpenVINO's answers, and nothing of this project needed."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from box_matching import compare
from served_inference import ARRAYS, detect, infer
from triton_server import ServedRepository, serving
from vfnet_build.model_configuration import configure

pytestmark = pytest.mark.served


def strip(left: int, right: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")[:, left:right]).save(out, "PNG")
    return out.getvalue()


def test_its_answers_are_those_of_openvino(
    server: ServedRepository, torch_server: ServedRepository, good_image: bytes
) -> None:
    found = 0
    for image in (good_image, strip(300, 308)):
        expected = detect(server, image)
        comparison = compare(expected, detect(torch_server, image))
        assert not comparison.wrong
        assert len(comparison.flipped) <= 0.02 * comparison.expected
        found += comparison.matched
    assert found > 3


def test_an_answer_does_not_depend_on_its_company(torch_server: ServedRepository) -> None:
    images = [strip(left, left + width) for left, width in ((100, 8), (200, 10), (250, 20))]
    alone = [infer(torch_server, image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda image: infer(torch_server, image), images))
    for found, expected in zip(together, alone, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.fixture(scope="module")
def enlarging_server(torch_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """Whose detector gets images as they are stored where they would only become larger."""
    folder = tmp_path_factory.mktemp("enlarging")
    repository = folder / "repository"
    shutil.copytree(torch_repository, repository)
    for path in ("config.pbtxt", "configs/torch.pbtxt"):
        configure(
            repository / "vfnet_preprocess" / path, repository / "vfnet_preprocess" / path, {"enlarging": "detector"}
        )
    with serving(repository, folder) as served:
        yield served


def test_who_enlarges_changes_no_bit(torch_server: ServedRepository, enlarging_server: ServedRepository) -> None:
    images = [strip(left, left + width) for left, width in ((100, 8), (250, 20))]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda image: infer(enlarging_server, image), images))
    for one, image in zip(found, images, strict=True):
        expected = infer(torch_server, image)
        for name in ARRAYS:
            np.testing.assert_array_equal(one[name], expected[name])


def test_it_runs_on_the_cpu_where_there_is_no_gpu(torch_server: ServedRepository) -> None:
    with urllib.request.urlopen(f"{torch_server.http_url}/v2/models/vfnet_detector/config", timeout=30) as answer:
        (group,) = json.load(answer)["instance_group"]
    assert group["kind"] == ("KIND_GPU" if torch.cuda.is_available() else "KIND_CPU")


def test_a_repository_needs_nothing_of_this_project(torch_repository: Path) -> None:
    program = "import vfnet_runtime.engines.torch_engine; print(vfnet_runtime.__file__)"
    path = [str(torch_repository / "vfnet_detector" / "1"), sysconfig.get_path("purelib")]
    # Without `site` the editable installation is not found.
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {path}; {program}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert found.stdout.strip() == str(torch_repository / "vfnet_detector" / "1" / "vfnet_runtime" / "__init__.py")
