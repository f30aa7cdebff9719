"""Resolve the dependencies anew and write the locks, with the hashes of every file of PyPI's. What `make lock` runs.

usage: python build/write_lock.py UV

requirements.lock            every package of the environment but torch
requirements-image.lock      the part of them that the images need
requirements-torch.lock      PyPI's torch, with the CUDA packages that it needs
requirements-torch-cpu.lock  instead of these: torch's build for CPUs, which PyPI does not have but other indexes do
requirements-triton.lock     the wheel that Triton itself comes from

Installed with `pip install --require-hashes --no-deps`: nothing comes in that is not named here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRITON = "nvidia-pytriton==0.7.0"
EVERYTHING = ("build", "serve", "setup", "test", "lint")
IMAGE = ("build", "gateway", "serve", "setup")
_TORCH = re.compile(r"torch$|(nvidia|cuda)-")
_CPU_TORCH = {
    "2.13.0": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}
"""Hashes by version, of Python 3.11's wheel. A version that is not here has no build for CPUs in the locks."""


def main(uv: str) -> None:
    """Write all five. Raises CalledProcessError where nothing fits together; uv has said what."""
    everything = _resolved(uv, ["pyproject.toml", *(f"--extra={extra}" for extra in EVERYTHING)])
    versions = ROOT / ".lock-constraints"
    versions.write_text("".join(f"{name}=={version}\n" for name, version, _ in everything))
    try:
        image = _resolved(uv, ["pyproject.toml", *(f"--extra={extra}" for extra in IMAGE), f"--constraint={versions}"])
    finally:
        versions.unlink()
    wheel = _resolved(uv, ["--no-deps", "-"], f"{TRITON}\n")
    torch = [each for each in everything if _TORCH.match(each[0])]
    version = next(version for name, version, _ in torch if name == "torch")
    _write("requirements.lock", "every package of the environment but torch", _without_torch(everything))
    _write("requirements-image.lock", "what the images need of requirements.lock", _without_torch(image))
    _write("requirements-torch.lock", "PyPI's torch and the CUDA packages that it needs", torch)
    cpu = [("torch", f"{version}+cpu", _CPU_TORCH[version])] if version in _CPU_TORCH else []
    _write("requirements-torch-cpu.lock", "torch's build for CPUs, where an index has it", cpu)
    _write("requirements-triton.lock", "Triton itself", wheel)


Package = tuple[str, str, list[str]]
"""Name, version, hashes (SHA-256, in hexadecimal)."""


def _resolved(uv: str, arguments: list[str], given: str | None = None) -> list[Package]:
    command = [uv, "pip", "compile", "--universal", "--python-version=3.11", "--generate-hashes", "--no-annotate"]
    command += ["--no-header", "--quiet", *arguments]
    output = subprocess.run(command, cwd=ROOT, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout
    packages: list[Package] = []
    for line in output.splitlines():
        if match := re.match(r"([\w.-]+)==([^ ;\\]+)", line):
            packages.append((match[1], match[2], []))
        elif match := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            packages[-1][2].append(match[1])
    return packages


def _without_torch(packages: list[Package]) -> list[Package]:
    return [package for package in packages if not _TORCH.match(package[0])]


def _write(name: str, what: str, packages: list[Package]) -> None:
    lines = [f"# Written by make lock: {what}, at the versions that were tested."]
    for package, version, hashes in packages:
        lines.append(" \\\n".join([f"{package}=={version}", *(f"    --hash=sha256:{each}" for each in hashes)]))
    (ROOT / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
