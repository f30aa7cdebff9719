"""The Dockerfiles, by hadolint's rules that matter here."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "build" / "docker").glob("Dockerfile*"))


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    return instructions(request.param)


def test_the_base_image_is_pinned(dockerfile: list[tuple[str, str]]) -> None:
    arguments = dict(rest.split("=", 1) for word, rest in dockerfile if word == "ARG" and "=" in rest)
    stages = {rest.split(" AS ")[1] for word, rest in dockerfile if word == "FROM" and " AS " in rest}
    bases = {rest.split(" AS ")[0] for word, rest in dockerfile if word == "FROM"} - stages - {"scratch"}
    assert bases
    for base in bases:
        tag = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base).rpartition(":")[2]
        assert re.match(r"\d", tag)


def test_packages_leave_no_lists_and_caches(dockerfile: list[tuple[str, str]]) -> None:
    runs = [rest for word, rest in dockerfile if word == "RUN"]
    assert any("pip install" in run for run in runs)
    for run in runs:
        for command in run.split("&&"):
            if "pip install" in command:
                assert "--no-cache-dir" in command
                assert "--no-deps" in command or "--constraint" in command
                # From an index comes what the locks name by hash; the rest is this project's own.
                is_ours = re.search(r"\./client \.|/wheels/\*\.whl", command)
                assert is_ours or "--require-hashes" in command or "--constraint" in command
            if "apt-get install" in command:
                assert "--yes" in command
                assert "--no-install-recommends" in command
                assert "rm -rf /var/lib/apt/lists/*" in run
                assert "apt-get update" in run
        assert "sudo" not in run
        assert not re.search(r"\bcd ", run)


def test_it_ends_as_an_ordinary_user_with_an_entry_point_of_its_own(dockerfile: list[tuple[str, str]]) -> None:
    users = [rest for word, rest in dockerfile if word == "USER"]
    assert users
    assert not users[-1].startswith(("root", "0"))
    assert [rest for word, rest in dockerfile if word == "ENTRYPOINT"] == ['["vfnet"]']
    assert all(rest.startswith("/") for word, rest in dockerfile if word == "WORKDIR")
    assert not [word for word, _ in dockerfile if word in ("ADD", "MAINTAINER")]


def test_what_the_image_copies_is_there_and_not_ignored(dockerfile: list[tuple[str, str]]) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"]
    copies = [rest.split()[:-1] for word, rest in dockerfile if word == "COPY" and "--from=" not in rest]
    sources = [source for copied in copies for source in copied if not source.startswith("--")]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source.split("/")[0], each) for each in kept)
