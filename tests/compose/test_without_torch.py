"""The images that serve and answer have no PyTorch: what they run must not import it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_IMPORT = """
import importlib, sys
sys.modules["torch"] = None
importlib.import_module(sys.argv[1]).add_arguments
"""


@pytest.mark.parametrize("module", ["vfnet.commands.serve", "vfnet.commands.gateway", "vfnet_client.commands.health"])
def test_a_command_of_these_images_needs_no_pytorch(module: str) -> None:
    outcome = subprocess.run([sys.executable, "-c", _IMPORT, module], check=False, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
