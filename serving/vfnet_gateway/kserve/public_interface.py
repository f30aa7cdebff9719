"""What strangers may ask for: the public models, their tensors, and nothing that is their operator's.

The protocol tells of the models only; nothing of what they are made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfnet_client import detection_options as options
from vfnet_client.exceptions import RequestError
from vfnet_client.safe_text import printable_line

VERSION = "1"
"""The one version of every public model, whatever Triton serves behind it."""
_SHOWN = 60
"""Characters of a caller's text in an answer."""
CONTROL_METHODS = re.compile(r"Repository|SharedMemory|TraceSetting|LogSettings")
"""In the names of `inference.GRPCInferenceService`'s methods."""
_CONTROL_PATHS = re.compile(
    r"^/v2/+(repository|systemsharedmemory|cudasharedmemory|trace|logging)(/|$)|/trace/setting$", re.IGNORECASE
)
_CONFIG_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "INT32": "TYPE_INT32"}


@dataclass(frozen=True)
class TensorSpecification:
    """A tensor of the public interface; -1 in its shape is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_optional: bool = False

    def metadata(self) -> dict[str, Any]:
        """As model metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def config(self, *, is_input: bool) -> dict[str, Any]:
        """As a model's configuration has it."""
        optional = {"optional": self.is_optional} if is_input else {}
        return {
            "name": self.name, "data_type": _CONFIG_TYPES[self.datatype], "dims": list(self.shape), **optional
        }  # fmt: skip


IMAGE = TensorSpecification("IMAGE", "BYTES", (1,))
OPTIONS = {
    "score_threshold": TensorSpecification(options.SCORE_THRESHOLD, "FP32", (1,), is_optional=True),
    "classes": TensorSpecification(options.CLASSES, "BYTES", (-1,), is_optional=True),
    "max_detections": TensorSpecification(options.MAX_DETECTIONS, "INT32", (1,), is_optional=True),
    "nms_iou": TensorSpecification(options.NMS_IOU, "FP32", (1,), is_optional=True),
}
"""By field of `DetectionOptions`."""
INPUTS = (IMAGE, *OPTIONS.values())
OUTPUTS = (
    TensorSpecification("DETECTIONS", "BYTES", (1,)),
    TensorSpecification("BOXES", "FP32", (-1, 4)),
    TensorSpecification("SCORES", "FP32", (-1,)),
    TensorSpecification("LABELS", "INT32", (-1,)),
)
_DATATYPES = {tensor.name: tensor.datatype for tensor in OUTPUTS}
_DTYPES = {"FP32": "<f4", "INT32": "<i4"}


@dataclass(frozen=True)
class OutputTensor:
    """One output of an answer."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes
    """In binary form."""
    array: Any
    """The same as a NumPy array; of BYTES, of Python's bytes."""

    def values(self) -> list[Any]:
        """Its elements, flat, for JSON."""
        if self.datatype == "BYTES":
            return [element.decode("utf-8", "replace") for element in self.array.reshape(-1)]
        return list(self.array.reshape(-1).tolist())


def output_tensors(arrays: dict[str, Any], names: Sequence[str]) -> list[OutputTensor]:
    """Those outputs, in this order."""
    return [_tensor(name, arrays[name]) for name in names]


def _tensor(name: str, array: Any) -> OutputTensor:
    datatype = _DATATYPES[name]
    if datatype == "BYTES":
        raw = b"".join(len(element).to_bytes(4, "little") + element for element in array.reshape(-1))
    else:
        raw = np.ascontiguousarray(array, _DTYPES[datatype]).tobytes()
    return OutputTensor(name, datatype, tuple(array.shape), raw, array)


class PublicModels:
    """By name. All have the interface of the `vfnet` ensemble, of which callers do not learn that it is one."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def check(self, name: str, version: str = "") -> str:
        """The name of a model that is public, in the version that there is.

        Raises:
            RequestError: 404.
        """
        if name not in self.names:
            known = ", ".join(self.names)
            raise RequestError(404, f"there is no model {shown(name)} here; there is: {known}")
        if version not in ("", VERSION):
            raise RequestError(404, f"there is no version {shown(version)} of model {name}; there is: {VERSION}")
        return name

    def metadata(self, name: str) -> dict[str, Any]:
        """Model metadata."""
        return {
            "name": name,
            "versions": [VERSION],
            "platform": "vfnet",
            "inputs": [tensor.metadata() for tensor in INPUTS],
            "outputs": [tensor.metadata() for tensor in OUTPUTS],
        }

    def config(self, name: str) -> dict[str, Any]:
        """What stock clients look for in Triton's model configuration; perf_analyzer sizes its requests by it."""
        return {
            "name": name,
            "platform": "vfnet",
            "backend": "vfnet",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": 0,
            "input": [tensor.config(is_input=True) for tensor in INPUTS],
            "output": [tensor.config(is_input=False) for tensor in OUTPUTS],
        }


def shown(text: object) -> str:
    """A caller's text within an answer: quoted, printable and short."""
    return f"'{printable_line(str(text), _SHOWN)}'"


def is_control_path(path: str) -> bool:
    """Whether a path is Triton's for those who operate it."""
    return _CONTROL_PATHS.search(path) is not None


def control_refusal() -> RequestError:
    """The error for what is an operator's: 403."""
    return RequestError(
        403, "the gateway serves inferences; models, shared memory, tracing and logs are its operator's"
    )
