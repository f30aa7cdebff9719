"""`vfnet drift` from the folders that people have to its exit code, its page and its figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vfnet.commands.drift import EXIT_DRIFT
from vfnet_client.cli import main
from vfnet_drift.sources import Asked, open_side


def drift(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["drift", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_same_images_again_are_no_drift(make_data, capsys) -> None:
    code, out, _ = drift(capsys, f"--reference={make_data('then')}", f"--current={make_data('now')}")
    assert code == 0
    assert out.startswith("No drift found.")


def test_darker_images_are_found_told_and_shown(make_data, tmp_path, capsys) -> None:
    now = make_data("now", brightness=lambda i: 40 + 13 * i % 60)
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    code, out, _ = drift(
        capsys, f"--reference={make_data('then')}", f"--current={now}", f"--output={page}", f"--json={figures}"
    )
    assert code == EXIT_DRIFT
    assert out.startswith("Drift in brightness.\n")
    found = {each["feature"]: each for each in json.loads(figures.read_text())["features"]}
    assert [name for name, each in found.items() if each["verdict"] == "drift"] == ["brightness"]
    before, after = found["brightness"]["numbers"]["medians"]
    assert before - after == pytest.approx(50, abs=3)
    assert found["brightness"]["numbers"]["wasserstein"] == pytest.approx(50, abs=3)
    assert found["brightness"]["numbers"]["cliffs_delta"] < -0.7
    html = page.read_text()
    assert html.count("data:image/jpeg") == 12
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", html), "the page asks for something else"


def test_another_mix_of_classes_and_smaller_boxes_are_found(make_data, capsys) -> None:
    then = make_data("then")
    mixed = make_data("mixed", label=lambda i: "can" if i % 8 else "carton")
    code, out, _ = drift(capsys, f"--reference={then}", f"--current={mixed}")
    assert (code, out.splitlines()[0]) == (EXIT_DRIFT, "Drift in class.")
    code, out, _ = drift(capsys, f"--reference={then}", f"--current={make_data('small', side=0.1)}")
    assert (code, out.splitlines()[0]) == (EXIT_DRIFT, "Drift in box_size.")


def test_few_images_are_said_to_be_few(make_data, capsys) -> None:
    code, out, _ = drift(capsys, f"--reference={make_data('then')}", f"--current={make_data('now', count=8)}")
    assert code == 0
    assert out.startswith("Too few images to tell.")
    assert "60 and 8 images are too few for a test" in out


def test_a_written_reference_stands_for_its_images(make_data, tmp_path, capsys) -> None:
    then, file = make_data("then"), tmp_path / "reference.json"
    code, _, err = drift(capsys, f"--reference={then}", f"--write-reference={file}")
    assert (code, "describes 60 images" in err) == (0, True)
    assert "jpg" not in file.read_text()
    assert drift(capsys, f"--reference={file}", f"--current={make_data('now')}")[0] == 0
    dark = make_data("dark", brightness=lambda i: 40 + 13 * i % 60)
    code, out, _ = drift(capsys, f"--reference={file}", f"--current={dark}")
    assert (code, out.splitlines()[0]) == (EXIT_DRIFT, "Drift in brightness.")


def test_a_folder_of_images_has_no_boxes_to_compare(make_data, capsys) -> None:
    now = make_data("now")
    (now / "annotations.jsonl").unlink()
    code, out, _ = drift(capsys, f"--reference={make_data('then')}", f"--current={now}")
    assert code == 0
    assert "class: not known of the current images" in out
    assert "brightness" in out


def test_results_of_a_batch_are_read_with_their_scores(make_data, tmp_path) -> None:
    images, batch = make_data("images", count=30), tmp_path / "batch"
    (batch / "shards").mkdir(parents=True)
    corners = {"topX": 0.1, "topY": 0.1, "bottomX": 0.5, "bottomY": 0.5}
    rows = [
        {"image": f"{i}.jpg", "image_id": i + 1, "width": 64, "height": 48,
         "boxes": [{"box": corners, "label": "can", "score": score} for score in (0.9, 0.1)]}
        for i in range(30)
    ]  # fmt: skip
    plan = {"input": f"{images}/", "kind": "folder", "images": 30, "inputs_sha256": "", "settings": {}}
    (batch / "batch.json").write_text(json.dumps(plan))
    (batch / "inputs.jsonl").write_text("".join(json.dumps(f"{i}.jpg") + "\n" for i in range(30)))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (batch / "shards" / "part-000000000-000000029.jsonl").write_text(text)
    side = open_side(str(batch), Asked())
    assert side.images == 30
    assert set(side.values("score")) == {0.9}, "the low score does not count"
    assert len(side.values("brightness")) == 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reference=nowhere"], "give --current to compare with, or --write-reference"),
        (["--reference=nowhere", "--current=nowhere"], "there is no such file or folder"),
        (["--reference=https://a/metrics", "--current=x"], "metrics can be --current only"),
        (["--reference={}", "--current=http://127.0.0.1:9/metrics"], "cannot be asked"),
        (["--reference={}", "--current=http://127.0.0.1:9", "--over=soon"], "no time as Prometheus writes it"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: list[str], said: str, make_data, capsys) -> None:
    then = make_data("then", count=5)
    code, _, err = drift(capsys, *(each.format(then) for each in arguments))
    assert code == 1
    assert said in err
    assert "Traceback" not in err


WHOLE = {"vfnet_profile": 1, "images": 1, "score_from": 0.3}


@pytest.mark.parametrize(
    "document",
    [
        {"vfnet_profile": 2},
        {**WHOLE, "features": {"score": {"edges": [2, 1], "counts": [1, 1, 1]}}},
        {**WHOLE, "features": {"score": {"edges": [1], "counts": [1]}}},
        {**WHOLE, "features": {"class": {"names": [1], "counts": [1, 1]}}},
        {**WHOLE, "features": {"score": {"edges": [1], "counts": [float("nan"), 1]}}},
        {**WHOLE, "features": {"score": {"edges": [1], "counts": [10**400, 1]}}},
        {**WHOLE, "images": 0, "features": []},
    ],
)
def test_a_spoilt_reference_is_refused_in_words(document: object, tmp_path: Path, capsys) -> None:
    file = tmp_path / "reference.json"
    file.write_text(json.dumps(document))
    code, _, err = drift(capsys, f"--reference={file}", f"--current={tmp_path}")
    assert code == 1
    assert "is no reference of vfnet drift --write-reference" in err
