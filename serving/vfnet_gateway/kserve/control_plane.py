"""What KServe's and Triton's protocols have for operators: never at the gateway."""

from __future__ import annotations

import re

from vfnet_client.exceptions import RequestError

CONTROL_METHODS = re.compile(r"Repository|SharedMemory|TraceSetting|LogSettings")
"""In the names of `inference.GRPCInferenceService`'s methods."""
_CONTROL_PATHS = re.compile(
    r"^/v2/+(repository|systemsharedmemory|cudasharedmemory|trace|logging)(/|$)|/trace/setting$", re.IGNORECASE
)


def is_control_path(path: str) -> bool:
    """Whether a path is Triton's for those who operate it."""
    return _CONTROL_PATHS.search(path) is not None


def refusal() -> RequestError:
    """The error: 403."""
    return RequestError(
        403, "the gateway serves inferences; models, shared memory, tracing and logs are its operator's"
    )
