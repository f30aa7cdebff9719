"""The variables that Triton and its models are given: those that they need, and no secret that this process has."""

from __future__ import annotations

from collections.abc import Mapping

from vfnet_supervision.ring import MARK_VARIABLE

_NAMES = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP",
        "TMPDIR", "TZ", "USER", "VFNET_ACTIVITY_DIR", "VFNET_CACHE_DIR", "VIRTUAL_ENV", "DO_NOT_TRACK",
        MARK_VARIABLE,  # by which a supervisor finds what a killed `vfnet serve` has left
    }
)  # fmt: skip
_PREFIXES = (
    "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "GLIBC_", "GOMP_", "KMP_", "LC_", "MALLOC_", "MKL_", "NCCL_",
    "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_", "OPENCV_", "OPENVINO_", "OV_", "PYTHON", "PYTORCH_", "TCMALLOC_",
    "TORCH_", "TORCHINDUCTOR_", "TRITON_", "XDG_",
)  # fmt: skip
"""Of what the models compute with, their threads, memory and caches."""
_SECRET_WORDS = ("KEY", "PASSWORD", "SECRET", "TOKEN", "CREDENTIAL")


def chosen_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of `environment` that are handed on."""
    return {
        name: value
        for name, value in environment.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and not any(word in name.upper() for word in _SECRET_WORDS)
    }
