"""What docs/moving-from-azureml.md tells a caller to run, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway_process import running_gateway
from shared_data import ROOT

pytestmark = pytest.mark.served

KEY = "a-long-random-key"
PAGE = ROOT / "docs" / "moving-from-azureml.md"
COMMANDS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_block_for_callers_runs_in_order(quick_server: Any, tmp_path: Path) -> None:
    blocks = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shutil.copyfile(ROOT / "docs" / "detections.png", tmp_path / "photo.jpg")  # the name means nothing to a decoder
    outputs = []
    with running_gateway(quick_server.grpc_url, tmp_path, environment={"VFNET_GATEWAY_KEYS": KEY}) as gateway:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"SCORE_URL": f"{gateway.address}/score", "API_KEY": KEY, "PATH": path}
        environment |= {"no_proxy": "*"}
        for language, block in blocks:
            command = [*COMMANDS[language], block]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            outputs.append(done.stdout)
    assert len(outputs) == 7
    curl, printed, scored, counted, invoked = outputs[1:6]
    (image,) = json.loads(curl)
    assert json.loads(scored) == [image]
    assert json.loads(invoked) == {"predictions": [image]}
    assert len(printed.splitlines()) == len(image["boxes"])
    assert counted.split() == [str(len(image["boxes"]))]
    assert outputs[6].startswith("Healthy")
    assert "/score" in json.loads((tmp_path / "swagger.json").read_text())["paths"]
