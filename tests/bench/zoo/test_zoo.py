"""The zoo's benchmark: which networks, of what weights, and the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vfnet_bench.measurement import Measurement
from vfnet_bench.network.agreement import Agreement
from vfnet_bench.zoo.comparison import ZooRow, distinct_stems, zoo_table
from vfnet_bench.zoo.random_checkpoint import write_random_checkpoint
from vfnet_client.cli import Subcommand, run_command
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_runtime.architecture.config import NeckConfig, PreprocessConfig

GROUPED = "vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco"
MISSPELT = "vfnet_x101"


def test_every_architecture_once() -> None:
    stems = distinct_stems()
    assert len(stems) == 10
    assert {ARCHITECTURES[stem] for stem in stems} == set(ARCHITECTURES.values())


def test_random_weights_are_the_same_every_time_and_see_something(tmp_path: Path) -> None:
    stock = ARCHITECTURES[GROUPED]
    narrow = replace(
        stock,
        backbone=replace(stock.backbone, depth=50, base_channels=16),
        neck=NeckConfig(in_channels=(64, 128, 256, 512), out_channels=64),
        head=replace(stock.head, in_channels=64, feat_channels=64),
        preprocess=PreprocessConfig(img_scale=(333, 200)),
    )
    for name in ("one", "other"):
        write_random_checkpoint(narrow, tmp_path / f"{name}.pth")
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "other.pth").read_bytes()
    assert len(CheckpointDetector(tmp_path / "one.pth").detect(SAMPLE_PICTURE.read_bytes()).scores) > 0


def test_the_table_has_the_ratio_of_each_round() -> None:
    served, mmdet = Measurement("", "s", (1.0, 2.0, 4.0)), Measurement("", "s", (5.0, 8.0, 12.0))
    row = ZooRow(GROUPED, 7.0, served, mmdet, Agreement("", 1, 9, 8, 7, 0.0, 0.0))
    last = zoo_table([row, ZooRow("vfnet_r50_fpn_1x_coco", 5.0, served, None, None)]).splitlines()[-2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in last]
    assert cells == [
        ["x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x", "8.00 s", "2.00 s", "4.00 (3.50 to 4.50)", "7.0 s", "7 of 9, 8"],
        ["r50_fpn_1x", "", "2.00 s", "", "5.0 s", ""],
    ]
    assert row.to_json()["speed"]["values"] == [5.0, 4.0, 3.0]


def test_a_network_that_mmdet_does_not_have_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    command = Subcommand("vfnet_bench.commands.zoo", "", "measure", "bench,load")
    assert run_command("vfnet bench zoo", command, [MISSPELT]) != 0
    said = capsys.readouterr().err
    assert f"there is no network '{MISSPELT}'" in said
    assert GROUPED in said
