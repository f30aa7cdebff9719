"""The traffic file: what it may say, and that it says it again when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_client.exceptions import CommandError
from vfnet_gateway.traffic.split import (
    TrafficSplit,
    change_split,
    parse_traffic,
    read_percents,
    read_traffic,
    render_traffic,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,10}(\.[1-9])?", fullmatch=True).filter(lambda name: "_" not in name)


@given(st.dictionaries(NAMES, st.integers(1, 1000), min_size=1, max_size=6), st.sampled_from([None, "x-user"]))
def test_what_is_written_is_read(weights: dict[str, int], header: str | None) -> None:
    total = sum(weights.values())
    share = {name: round(100 * weight / total, 3) for name, weight in weights.items()}
    last = list(share)[-1]
    share[last] = round(share[last] + 100 - sum(share.values()), 3)
    split = TrafficSplit(share, {last: 5.5} if len(share) > 1 else {}, header)
    assert parse_traffic(render_traffic({"vfnet": split, "other": split})) == {"vfnet": split, "other": split}
    assert split.live == next(iter(weights))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["vfnet=90", "vfnet.2=20"], "90 + 20 = 110 and have to make 100"),
        (["vfnet=90"], "90 = 90 and have to make 100"),
        (["vfnet=50", "vfnet=50"], "vfnet is named twice"),
        (["vfnet"], "should read NAME=PERCENT"),
        (["vfnet=ten"], "should read NAME=PERCENT"),
        (["vfnet=nan", "a=100"], "should read NAME=PERCENT"),
        (["vfnet=-10", "a=110"], "from 0 to 100"),
        (["vfnet=33.3333", "a=66.6667"], "at most 3 decimals"),
        (["2vfnet=100"], "a letter, then letters, digits"),
        (["../x=100"], "a letter, then letters, digits"),
        (["vfnet_detector=100"], "not ending in _preprocess"),
        (["a" * 41 + "=100"], "at most 40 characters"),
        (["vfnet.x=100"], "a letter, then letters, digits"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_accepted(words: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        TrafficSplit(read_percents(words))
    assert told in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vfnet = 3", "write [vfnet] above it"),
        ("[vfnet]\nshares = {}", "there are: share, mirror, sticky-header"),
        ("[vfnet]\nshare = { vfnet = true }", "should read"),
        ("[vfnet]\nshare = { vfnet.2 = 100 }", "a dot in a name needs quotes"),
        ("[vfnet]\nshare = { vfnet = 100 }\nmirror = { vfnet = 5 }", "needs no copies of its own"),
        ('[vfnet]\nshare = { vfnet = 100 }\nsticky-header = "x user"', "is no name of a header"),
        ("[vfnet]", "no deployment has a share"),
        ("[vfnet", "it is no TOML"),
        ('["a b"]\nshare = { vfnet = 100 }', "a letter, then letters, digits"),
    ],
)
def test_a_file_that_is_none_says_where(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "traffic.toml"
    file.write_text(text)
    with pytest.raises(CommandError) as raised:
        read_traffic(file)
    assert str(file) in str(raised.value)
    assert told in str(raised.value)


def test_the_splits_of_other_models_stay(tmp_path: Path) -> None:
    file = tmp_path / "traffic.toml"
    one, other = TrafficSplit({"vfnet": 100.0}), TrafficSplit({"b": 40.0, "b.2": 60.0}, {}, "x-user")
    change_split(file, "vfnet", one)
    change_split(file, "b", other)
    assert read_traffic(file) == {"vfnet": one, "b": other}
    change_split(file, "vfnet", None)
    assert read_traffic(file) == {"b": other}
    change_split(file, "b", None)
    assert read_traffic(file) == {}


def test_taking_away_what_is_not_there_writes_nothing(tmp_path: Path) -> None:
    change_split(tmp_path / "traffic.toml", "vfnet", None)
    assert not (tmp_path / "traffic.toml").exists()
    assert read_traffic(tmp_path / "traffic.toml") == {}
