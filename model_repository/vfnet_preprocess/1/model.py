"""Triton's entry to `vfnet_preprocess`; the work is in vfnet_runtime/triton_models/preprocess_model.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the runtime of this repository, before one that is installed
sys.dont_write_bytecode = True  # the repository stays as it was built

from vfnet_runtime.triton_models.preprocess_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
