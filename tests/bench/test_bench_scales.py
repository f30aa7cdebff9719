"""`vfnet bench scales`: briefly on the scenes of the demonstration; and what is refused before the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from vfnet_bench.scales.measurement import smaller_scales
from vfnet_client.cli import main
from vfnet_model.checkpoints.demo import VALIDATION_SCENES

ANNOTATIONS = f"--annotations={VALIDATION_SCENES / 'annotations.json'}"


@pytest.mark.slow
def test_each_scale_has_its_time_and_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [f"--json={tmp_path / 'scales.json'}", f"--plot={tmp_path / 'scales.png'}"]
    assert main(["bench", "scales", ANNOTATIONS, "--first=6", "--scales", "416x320", "100x77", *targets]) == 0
    own, small = json.loads((tmp_path / "scales.json").read_text())["points"]
    assert (own["scale"], own["of_first"]) == ([416, 320], 1)
    assert own["figures"]["AP"] > 0.5 > small["figures"]["AP"]
    assert small["seconds"]["median"] > 0
    with Image.open(tmp_path / "scales.png") as picture:
        assert min(picture.size) > 600
    assert "| 416x320 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine=torch"], "compared with --engine openvino"),
        (["--scales", "9000x10"], "--scale 9000x10: each side may be"),
        (["--plot=absent/scales.png"], "absent to write the result into"),
    ],
)
def test_what_cannot_be_is_said_before_the_work(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "scales", ANNOTATIONS, *options]) == 1
    assert said in capsys.readouterr().err


def test_the_usual_scales_keep_the_ratio() -> None:
    assert smaller_scales((1333, 800)) == [(1333, 800), (1066, 640), (800, 480), (640, 384), (480, 288)]
