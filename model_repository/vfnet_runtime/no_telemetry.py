"""Importing OpenVINO reports that to an analytics host, through this package and without asking (2026.4).

It does without where the package is not installed. The package's `__init__` imports this before anything else is.
"""

import sys
from typing import Any, cast

cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)
