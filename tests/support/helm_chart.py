"""The Helm chart, rendered by helm itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART, VALUES = ROOT / "build" / "helm" / "vfnet", ROOT / "build" / "helm" / "values"
TOOLS = Path(sys.prefix, "charts")
"""Where `make test-charts` puts helm and the schemas of Kubernetes."""

Manifest = dict[str, Any]


@cache
def helm() -> str:
    """The command; skips the test where there is none."""
    found = TOOLS / "helm" if (TOOLS / "helm").exists() else shutil.which("helm")
    return str(found) if found else pytest.skip("no helm here: `make test-charts` fetches it")


def render(*options: str) -> list[Manifest]:
    """What the chart becomes, in the namespace `vision`; a test fails with helm's words."""
    command = [helm(), "template", "demo", str(CHART), "--namespace=vision", *options]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    return [each for each in yaml.safe_load_all(outcome.stdout) if each]


def of_kind(manifests: list[Manifest], kind: str, component: str = "") -> Manifest:
    """The only one whose name ends so."""
    (found,) = (each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(component))
    return found
