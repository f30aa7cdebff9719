"""Files of class names are read as `labels.txt` will be, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared_data import FIELD, needs_field
from vfnet_client.cli import main
from vfnet_model.checkpoints.class_names import read_class_list
from vfnet_model.checkpoints.errors import CheckpointError


@pytest.mark.parametrize(
    "content",
    [
        b"can\nmilk bottle\n",
        b"can\nmilk bottle",
        b"can\r\nmilk bottle\r\n",
        b"\xef\xbb\xbfcan\nmilk bottle\n",
        b"can\rmilk bottle\r",
        "can\r\nmilk bottle\r\n".encode("utf-16"),
        "can\r\nmilk bottle\r\n".encode("utf-16-le"),
        "can \n\tmilk bottle\u00a0\n\n\n".encode(),
    ],
    ids=["newline", "no newline", "Windows", "byte order mark", "old Mac", "UTF-16", "no mark", "spaces, blank lines"],
)
def test_one_name_a_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    assert read_class_list(path) == ["can", "milk bottle"]


@pytest.mark.parametrize("name", ["Kühlschrank", "牛乳", "حليب", "👩‍🍳 chef's knife", "a,b;c", "7 up"])
def test_names_of_every_language_are_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(f"{name}\n", encoding="utf-8")
    assert read_class_list(path) == [name]


def test_a_name_may_hold_a_comma_or_a_number(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("screw, M3\nbolt, 4\n-\n")
    assert read_class_list(path) == ["screw, M3", "bolt, 4", "-"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names no classes"),
        (b"\n\n", "names no classes"),
        (b"can\n\nbottle\n", "the class name of label 1 is empty"),
        (b"can\ncan\n", "labels 0 and 1 have the same class name, 'can'"),
        ("can\nb\u2028c\n".encode(), r"label 1, 'b\u2028c', holds a line break"),
        ("can\n\u202eelttob\n".encode(), r"label 1, '\u202eelttob', holds"),
        (b"can\n\xff\n", "UTF-8 text"),
        ("can\nkäse\n".encode("latin-1"), "it looks like Latin-1 (Windows-1252): save it as UTF-8"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is no text but a JPEG picture"),
        (b"0 can\n1 bottle\n", "numbers its lines ('0 can'); expected are names alone"),
        (b'"can"\n"bottle"\n', "has quotes around its lines"),
        (b"1,can\r\n2,bottle\r\n", "numbers its lines"),
        (b"can,0\r\nbottle,1\r\n", "has several cells a line ('can,0')"),
        (b"can;\nbottle;\n", "has several cells a line"),
        (b"can,\nbottle,\ncarton\n", "has several cells a line"),
        (b"- can\n- bottle\n", "is a YAML list"),
        (b'["can", "bottle"]', "is JSON; expected is a text of class names"),
        (b"can\x1b[2J\n", r"'can\x1b[2J', holds"),
        (b"a" * 201, "has 201 characters; at most 200"),
        (b"\n".join(b"c%d" % i for i in range(6000)), "has 6,000 class names; at most 5,000"),
        (b"a" * 5_000_000, "larger than 4 MiB"),
    ],
)
def test_what_cannot_be_a_line_of_labels_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_class_list(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_command_answers_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", "--classes", str(tmp_path / "missing.txt"), "--repository", str(tmp_path / "repository")]
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"vfnet build: there is no file {tmp_path / 'missing.txt'}\n"


@needs_field
def test_the_field_s_names_are_four_plain_ones() -> None:
    assert read_class_list(FIELD / "names_bom.txt") == ["can", "carton", "milk_bottle", "water_bottle"]


def test_a_line_of_tabs_without_end_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a" + "\t" * 1_000_000 + "x\n" * 2)
    with pytest.raises(CheckpointError, match="1,000,002 characters"):
        read_class_list(tmp_path / "labels.txt")
