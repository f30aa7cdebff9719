"""The images themselves: what is in them, and that it is what the locks name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from container_engine import ROOT, SCRATCH, Engine

pytestmark = pytest.mark.containers
LOCKS = {"gateway": "gateway", "serve": "serve", "build": "image"}
LARGEST = {"gateway": 500, "serve": 1200, "build": 2200}
"""Megabytes with the base image. A package that should not be there is larger than the room that is left."""
LIST_PACKAGES = (
    "import importlib.metadata as m, json; print(json.dumps([[each.name, each.version] for each in m.distributions()]))"
)


@pytest.fixture(params=LOCKS)
def image(request: pytest.FixtureRequest, images: None) -> str:  # noqa: ARG001  which has built it
    """Its target in the Dockerfile."""
    return str(request.param)


def inside(engine: Engine, image: str, *command: str) -> str:
    options = ("run", "--rm", "--network=none", "--read-only", f"--entrypoint={command[0]}")
    return engine.docker(*options, f"vfnet-{image}:0.1.0", *command[1:])


def inside_as_root(engine: Engine, image: str, *command: str) -> str:
    """Who may read all of it."""
    options = ("run", "--rm", "--network=none", "--read-only", "--user=0", f"--entrypoint={command[0]}")
    return engine.docker(*options, image, *command[1:])


def installed(listed: str) -> dict[str, str]:
    """Versions by normalised name; of two the first is what is imported, the other the base image's."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in reversed(json.loads(listed))}


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_what_is_installed_is_what_the_locks_name(engine: Engine, image: str) -> None:
    found = installed(inside(engine, image, "python", "-c", LIST_PACKAGES))
    base = installed(engine.docker("run", "--rm", f"python:{os.environ['PYTHON_TAG']}", "python", "-c", LIST_PACKAGES))
    expected = locked(f"requirements-{LOCKS[image]}.lock") | {"vfnet": "0.1.0", "vfnet-client": "0.1.0"}
    if image == "build":
        cuda, cpu = locked("requirements-torch.lock"), locked("requirements-torch-cpu.lock")
        expected |= cuda if found["torch"] == cuda["torch"] else cpu
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() - expected.keys() <= base.keys()


def test_only_the_image_that_builds_has_pytorch_and_none_has_a_compiler(engine: Engine, image: str) -> None:
    looked_for = ("torch", "openvino", "cv2", "gcc", "cc", "clang")
    script = (
        "import importlib.util, shutil; "
        f"print(*(each for each in {looked_for} if importlib.util.find_spec(each) or shutil.which(each)))"
    )
    expected = {"gateway": set(), "serve": {"openvino", "cv2"}, "build": {"openvino", "cv2", "torch"}}
    assert set(inside(engine, image, "python", "-c", script).split()) == expected[image]


def test_nothing_of_pips_and_apts_stays(engine: Engine, image: str) -> None:
    places = "/var/lib/apt/lists /root/.cache /tmp /wheels /project"
    assert inside(engine, image, "sh", "-c", f"find {places} -type f -size +0 2>/dev/null || true") == ""


def test_labels_say_what_it_is(engine: Engine, image: str) -> None:
    labels = engine.inspect(f"vfnet-{image}:0.1.0", "image")["Config"]["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.title"] == f"vfnet-{image}"
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.description"]


def test_its_size_is_kept(engine: Engine, image: str) -> None:
    size = engine.inspect(f"vfnet-{image}:0.1.0", "image")["Size"] / 1e6
    base = engine.inspect(f"python:{os.environ['PYTHON_TAG']}", "image")["Size"] / 1e6
    print(f"vfnet-{image}: {size:.0f} MB, of which {base:.0f} MB are the base image")
    assert size < LARGEST[image]


def test_the_commands_of_an_image_run_and_others_say_what_they_lack(engine: Engine, image: str) -> None:
    for command in ("gateway", "serve", "build"):
        inside(engine, image, "vfnet", command, "--help")
        if command == image:
            break


def test_the_build_context_is_what_the_images_copy_and_nothing_else(engine: Engine) -> None:
    """Also where checkpoints, keys and what builds leave lie in the checkout."""
    left = [ROOT / "build" / "docker" / "checkpoints" / "someones.pth", ROOT / "client" / "__pycache__" / "left.pyc",
            ROOT / "key.pem"]  # fmt: skip
    dockerfile, context = Path(os.environ[SCRATCH], "Dockerfile.context"), Path(os.environ[SCRATCH], "context.tar")
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("not for images")
    try:
        engine.docker("buildx", "build", f"--output=type=tar,dest={context}", f"--file={dockerfile}", str(ROOT))
    finally:
        for path in left:
            path.unlink()
    with tarfile.open(context) as archive:
        names = {member.name for member in archive if member.isfile()}
    assert {"pyproject.toml", "client/vfnet_client/__init__.py", "build/docker/http_health.sh"} <= names
    known = engine_files()
    assert names <= known
    folders = {name.split("/")[0] for name in names if "/" in name}
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "build/docker/Dockerfile").read_text(), re.MULTILINE))
    assert folders == copied


@pytest.mark.parametrize("target", LOCKS)
def test_a_second_build_makes_the_same_files(engine: Engine, images: None, target: str) -> None:  # noqa: ARG001
    """Names, contents, owners and rights. Files of packages get the time at which they are unpacked."""
    if target != "gateway" and "VFNET_TEST_REPRODUCIBLE" not in os.environ:
        pytest.skip("VFNET_TEST_REPRODUCIBLE=1 builds serve and build again too, which takes minutes")
    again = f"vfnet-{target}:again"
    wheels = f"--build-context=wheels={os.environ.get('WHEELS', 'build/docker/wheels')}"
    engine.docker(
        "buildx", "build", "--quiet", "--no-cache", f"--target={target}", f"--tag={again}", wheels,
        f"--build-arg=PYTHON_TAG={os.environ['PYTHON_TAG']}", "--file=build/docker/Dockerfile", ".", seconds=900,
    )  # fmt: skip
    first, second = files_of(engine, f"vfnet-{target}:0.1.0"), files_of(engine, again)
    engine.docker("image", "rm", again)
    assert sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)) == []


def files_of(engine: Engine, image: str) -> dict[str, str]:
    """What each file of an image is, but for its time."""
    script = """
import hashlib, os, stat
for folder, folders, names in os.walk("/"):
    passed = ("proc", "sys", "dev", "tmp", "run")
    folders[:] = [each for each in folders if folder != "/" or each not in passed]
    for name in names + folders:
        path = os.path.join(folder, name)
        found = os.lstat(path)
        content = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
        if stat.S_ISREG(found.st_mode):
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        if path not in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
            print(path, f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {content}", sep=chr(9))
"""
    listed = inside_as_root(engine, image, "python", "-c", script)
    return dict(line.split("\t") for line in listed.splitlines())


def engine_files() -> set[str]:
    """All files of the checkout that belong to it: git knows them, or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines())
