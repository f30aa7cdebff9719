"""Numbers of bytes, as people write and read them."""

from __future__ import annotations

import argparse

import pytest

from vfnet_client.byte_sizes import byte_count, shown_bytes
from vfnet_client.cli import main


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1), ("67108864", 64 << 20), ("64MiB", 64 << 20), ("64 MiB", 64 << 20), ("64mib", 64 << 20),
        ("1.5GiB", 3 << 29), ("10 MB", 10**7), ("8KiB", 8192), ("2kB", 2000), ("12 B", 12),
        ("999999999999999999", 10**18 - 1),
    ],
)  # fmt: skip
def test_sizes_are_read_with_and_without_units(text: str, size: int) -> None:
    assert byte_count(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "64M", "MiB", "1e6", "64 MiBs", "٣", "nan", "9" * 30, "9999999TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number of bytes"):
        byte_count(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(64 << 20, "64 MiB"), (3 << 29, "1536 MiB"), (8192, "8 KiB"), (1000, "1000 bytes"), (4_000_000, "4000000 bytes")],
)
def test_sizes_are_shown_with_a_unit(size: int, text: str) -> None:
    assert shown_bytes(size) == text


def test_the_gateway_s_options_take_and_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for shown in ("largest body accepted (default: 64 MiB)", "(default: 32 MiB)", "(default: 256 MiB)",
                  "(default: 8 KiB)", "largest image fetched by URL (default: 20 MiB)"):  # fmt: skip
        assert shown in told
    assert "e+0" not in told
    assert main(["gateway", "--max-body-bytes", "64MiBs"]) == 2
    assert "is not a number of bytes from 1 on, such as 67108864 or 64MiB" in capsys.readouterr().err
