"""The table and the JSON of a result."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from vfnet_bench.measurement import Measurement, Target
from vfnet_bench.network.report import Report
from vfnet_bench.report import command, measurement_table, median_and_range, publish, table

SETTING: dict[str, Any] = {
    "checkpoint": {"description": "VFNet ResNet-50", "sha256": "0" * 64, "untrained": False},
    "image": {"name": "photo.jpg", "network_input": [800, 1216]},
    "precision": "f32",
    "rounds": 3,
    "machine": {"cpu": "A Processor", "cores_usable": 2, "memory_bytes": 8 * 2**30},
    "versions": {"openvino": "2026.4.1", "triton": "2.51.0"},
}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_each_row_shows_median_quartiles_and_whether_the_target_is_met() -> None:
    table = measurement_table(
        [
            Measurement("latency", "s", (1.0, 3.0, 2.0)),
            Measurement("ratio", "", (1.2, 1.0, 1.1), Target(1.05, at_most=True)),
            Measurement("ready", "s", (4.0,), Target(15, at_most=True)),
        ]
    )
    assert cells(table)[2:] == [
        ["latency", "2.000 s", "1.500 to 2.500", "", ""],
        ["ratio", "1.100", "1.050 to 1.150", "≤ 1.05", "MISSED"],
        ["ready", "4.000 s", "", "≤ 15 s", "met"],
    ]


def test_the_table_is_markdown() -> None:
    rows = measurement_table([Measurement("a longer name", "s", (1.0,)), Measurement("b", "s", (1.0,))]).splitlines()
    assert set(rows[1]) <= set("|-: ")
    assert len({len(row) for row in rows}) == 1
    assert len({row.count("|") for row in rows}) == 1


def test_the_setting_is_named_above_the_table() -> None:
    text, blank, *table = Report([Measurement("x", "s", (1.0,))], SETTING).to_markdown().splitlines()
    assert blank == ""
    assert len(table) == 3
    for fact in ("VFNet ResNet-50", "f32", "photo.jpg at 1216 x 800", "3 rounds", "A Processor, 2 cores", "8 GiB"):
        assert fact in text


def test_the_json_holds_the_setting_and_every_measurement() -> None:
    measurements = [Measurement("x", "s", (1.0, 2.0)), Measurement("y", "", (3.0,))]
    document = json.loads(json.dumps(Report(measurements, SETTING).to_json()))
    assert [row["name"] for row in document.pop("measurements")] == ["x", "y"]
    assert document == SETTING


def test_words_stand_on_the_left_and_numbers_on_the_right() -> None:
    assert table(("what", "s"), [("a", "1.0"), ("longer", "12.5")]).splitlines() == [
        "| what   |    s |",
        "| ------ | ---: |",
        "| a      |  1.0 |",
        "| longer | 12.5 |",
    ]


def test_one_round_has_no_range() -> None:
    assert median_and_range([3.0, 1.0, 2.0], "s") == "2 (1 to 3) s"
    assert median_and_range([2.0]) == "2"


@pytest.mark.parametrize("typed", [["bench", "mixed", "--serve=--a --b"], ["mixed", "--serve=--a --b"]])
def test_a_result_says_how_it_is_made_again(
    typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the benchmark was started as `python -m vfnet_bench`."""
    monkeypatch.setattr("sys.argv", ["a program", *typed])
    publish("a table", {"rounds": [1.5]}, tmp_path / "figures.json")
    *_, again = capsys.readouterr().out.splitlines()
    words = ["vfnet", "bench", "mixed", "--serve=--a --b"]
    assert shlex.split(again.strip("`")) == words == command()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["command"] == words
    assert figures["rounds"] == [1.5]
    assert figures["machine"]["cores_usable"] >= 1
    assert figures["date"].startswith("20")


def test_figures_may_say_themselves_when_and_where_they_were_made(tmp_path: Path) -> None:
    publish("", {"machine": "another", "date": "once"}, tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["machine"], figures["date"]) == ("another", "once")
