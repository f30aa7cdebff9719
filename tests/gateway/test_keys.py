"""What is a key, and what is refused before it could be taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_client.exceptions import CommandError, RequestError
from vfnet_gateway.keys import KeyRing, keys_in


def opens(ring: KeyRing, key: str) -> bool:
    try:
        ring.check(f"Bearer {key}")
    except RequestError:
        return False
    return True


def ring_of(folder: Path, content: bytes) -> KeyRing:
    file = folder / "keys"
    file.write_bytes(content)
    return KeyRing((), file, lambda _line: None)


@pytest.mark.parametrize(
    "content",
    [
        b"one\ntwo\n",
        b"# ours\r\n\tone \r\n\r\n  # theirs\r\ntwo",
        b"\n\none\ntwo",
        b"\xef\xbb\xbfone\r\ntwo\r\n",
        "one\r\ntwo\r\n".encode("utf-16"),
        "one\r\ntwo\r\n".encode("utf-16-le"),
        b"one\rtwo\r",
    ],
)
def test_keys_stand_one_a_line_between_comments(content: bytes, tmp_path: Path) -> None:
    ring = ring_of(tmp_path, content)
    assert len(ring) == 2
    assert opens(ring, "one")
    assert opens(ring, "two")
    assert not opens(ring, "# ours")
    assert not opens(ring, "")


def test_a_key_may_hold_a_hash(tmp_path: Path) -> None:
    ring = ring_of(tmp_path, b"abc#def\n")
    assert opens(ring, "abc#def")
    assert not opens(ring, "abc")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"one\nsecret # of the others\n", 2, "a comment has to begin its line"),
        (b"one\n\nsecret word\n", 3, "printable ASCII"),
        ("secrét\n".encode(), 1, "printable ASCII"),
        ("secrét\n".encode("latin-1"), 1, "looks like Latin-1"),
        (b"one\nsecret\x00\n", 2, "printable ASCII"),
        (b"one\n'secret'\n", 2, "has quotes around its key"),
        (b'"secret"\n', 1, "has quotes around its key"),
    ],
)
def test_what_is_no_key_stops_the_start_with_its_line_and_is_not_shown(
    content: bytes, line: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=f"cannot read the keys in .*line {line}[ ,].*{words}") as caught:
        ring_of(tmp_path, content)
    assert "secr" not in str(caught.value)


def test_a_file_that_goes_wrong_later_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "keys"
    file.write_text("one\n")
    ring = KeyRing((), file, said.append)
    file.write_text("two # theirs\n")
    ring.reload()
    assert opens(ring, "one")
    assert not opens(ring, "two")
    assert "those known stay valid: line 1" in said[0]


@pytest.mark.parametrize(("mode", "is_seen"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True)])
def test_a_file_that_others_can_read_or_change_is_seen(mode: int, is_seen: bool, tmp_path: Path) -> None:
    ring = ring_of(tmp_path, b"one\n")
    (tmp_path / "keys").chmod(mode)
    assert ring.others_may_read_the_file() is is_seen


def test_the_environment_s_keys_are_looked_at_too() -> None:
    assert keys_in(None) == ()
    assert keys_in("one, two\tthree") == ("one", "two", "three")
    for text, words in ((",", "holds no key"), ("", "holds no key"), ("one,sécret", "key 2 .* ASCII")):
        with pytest.raises(ValueError, match=words) as caught:
            keys_in(text)
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize("authorization", ["Bearer \udcff", "Bearer é", "bearer", "", None])
def test_no_header_breaks_the_check(authorization: str | None, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        ring_of(tmp_path, b"one\n").check(authorization)
