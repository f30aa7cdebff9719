"""Names that mean something to TeX, Markdown or a terminal are shown as what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vfnet_client.cli import main
from vfnet_client.safe_text import is_printable_line
from vfnet_data import DetectionDataset
from vfnet_data.coco_writing import write_coco

NAMES = ("$\\frac{$", "a|b `c` <img src=x> [d](e) $x_1$")


@pytest.fixture
def hostile(dataset: DetectionDataset, tmp_path: Path) -> Path:
    """The data set with other names."""
    write_coco(replace(dataset, classes=NAMES), tmp_path / "hostile.json")
    return tmp_path / "hostile.json"


def test_a_report_shows_names_as_they_are(
    hostile: Path, dataset: DetectionDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [
        {"image_id": image.image_id, "category_id": dataset.category_ids[1], "bbox": [0, 0, 99, 99], "score": 0.9}
        for image in dataset.images
    ]
    (tmp_path / "found.json").write_text(json.dumps(wrong))
    command = ["evaluate", "--annotations", str(hostile), "--detections", str(tmp_path / "found.json")]
    assert main([*command, "--output", str(tmp_path / "out"), "--json", str(tmp_path / "all.json")]) == 0
    assert set(json.loads((tmp_path / "all.json").read_text())["per_class"]) == set(NAMES)
    page = (tmp_path / "out" / "report.md").read_text()
    for text in (page, capsys.readouterr().out):
        rows = [line for line in text.splitlines() if "img src" in line]
        assert rows
        for row in rows:
            assert row.replace("\\|", "").count("|") == 7
            assert "\\<img src=x\\> \\[d\\]" in row
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"worst_01.png", "confusion_matrix.png"}


def test_an_output_folder_with_links_writes_nowhere_else(hostile: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "out").mkdir()
    for name in ("report.md", "precision_recall.png", "confusion_matrix.png", "worst_01.png"):
        (tmp_path / "out" / name).symlink_to(precious)
    (tmp_path / "none.json").write_text("[]")
    command = ["evaluate", "--annotations", str(hostile), "--detections", str(tmp_path / "none.json")]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    assert precious.read_text() == "precious"
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "9" * 5000, "[1e999, {}]", '[{"image_id": NaN}]', '{"a": "\x1b[31m\\ud800"}']
)
def test_detections_made_to_hurt_are_sentences(
    hostile: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "found.json").write_text(text)
    assert main(["evaluate", "--annotations", str(hostile), "--detections", str(tmp_path / "found.json")]) == 1
    assert all(map(is_printable_line, capsys.readouterr().err.splitlines()))


def test_a_source_called_like_an_escape_sequence_is_printed_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "\x1b[31mred\n\u202e.json"
    for content in (None, "{}", '{"images": 3}'):
        if content is not None:
            path.write_text(content)
        assert main(["evaluate", "--annotations", str(path), "--detections", "x"]) == 1
        said = capsys.readouterr().err
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "Traceback" not in said
