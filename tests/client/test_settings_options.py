"""Options made of a dataclass."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from vfnet_client.commands.options import fraction
from vfnet_client.commands.settings_options import Count, File, Seconds, add_options, meanings, settings_from

KINDS = ("sgd", "adamw")


@dataclass(frozen=True)
class Part:
    """No option."""

    depth: int = 1


@dataclass(frozen=True)
class Chosen:
    """All kinds of fields."""

    source: File
    """Where it comes from."""
    timeout: Seconds = 60.0
    """For the answer, 100% of it.

    More, for who reads the code."""
    workers: Count | None = None
    """Processes that
    decode."""
    share: Annotated[float | None, fraction, "SHARE"] = None
    kind: Annotated[str, KINDS] = "sgd"
    """SGD's or another's."""
    save_steps: Annotated[int, "STEPS", "--save-every"] = 10
    """Between saved states."""
    images: tuple[Path, ...] = ()
    """Folders."""
    quick: bool = False
    """Leave things out."""
    cores: Count | None = None
    """AutoML's own, if any."""
    part: Part = field(default_factory=Part)


def parser(*names: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="vfnet x", exit_on_error=False)
    add_options(made, Chosen, *names)
    return made


def test_what_is_not_given_is_the_default() -> None:
    assert settings_from(Chosen, parser().parse_args(["--source", "a"])) == Chosen(Path("a"))


def test_what_is_given_is_read_as_the_field_says() -> None:
    line = "--source a --timeout 2.5 --workers 3 --share 0.5 --kind adamw --save-every 7 --images b c --quick"
    assert settings_from(Chosen, parser().parse_args(line.split()), part=Part(2)) == Chosen(
        Path("a"), 2.5, 3, 0.5, "adamw", 7, (Path("b"), Path("c")), quick=True, part=Part(2)
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--source a --workers 0", "'0' is not a whole number from 1 on"),
        ("--source a --timeout nan", "is not a time above 0"),
        ("--source a --kind lion", "invalid choice"),
        ("--source a --save-every x", "invalid int value"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(line: str, reason: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=reason):
        parser().parse_args(line.split())


def test_a_field_without_a_default_has_to_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args([])
    assert "required: --source" in capsys.readouterr().err


def test_the_help_is_the_first_paragraph_below_the_field() -> None:
    shown = " ".join(parser().format_help().split())
    assert "--timeout SECONDS for the answer, 100% of it (default: 60)" in shown
    assert "More, for who" not in shown
    assert "--workers N processes that decode --share SHARE" in shown  # no default to tell
    assert "--kind {sgd,adamw} SGD's or another's (default: sgd)" in shown
    assert "--save-every STEPS between saved states (default: 10)" in shown
    assert "--source FILE" in shown
    assert "--part" not in shown
    assert meanings(Chosen)["source"] == "where it comes from"
    assert meanings(Chosen)["cores"] == "AutoML's own, if any"


def test_some_fields_may_be_named_and_others_stay_as_they_are() -> None:
    few = parser("workers", "quick")
    assert "--timeout" not in few.format_help()
    assert settings_from(Chosen, few.parse_args(["--workers=2"]), source=Path("a")) == Chosen(Path("a"), workers=2)
    with pytest.raises(TypeError, match=r"Chosen\.part"):
        parser("part")
