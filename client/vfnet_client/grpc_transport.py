"""KServe v2 over gRPC, through tritonclient.grpc.aio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import SplitResult

from vfnet_client.answer_about import about_headers
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import InferenceError, VFNetClientError
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_client.server_errors import error_for
from vfnet_client.trace_context import trace_headers

_INT32_MAX = 2**31 - 1
_MOST_ANSWER = 256 << 20
"""Bytes, as over HTTP."""
_DTYPES = {"BYTES": "object", "FP32": "float32", "INT32": "int32"}
CHANNEL_ARGUMENTS = [
    ("grpc.max_send_message_length", _INT32_MAX),
    ("grpc.max_receive_message_length", _MOST_ANSWER),
    ("grpc.enable_http_proxy", 0),  # straight to the server, as over HTTP
    # gRPC's own back-off grows to two minutes: long after a server that restarts is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GRPCTransport:
    """See `vfnet_client.transport.Transport`.

    Args:
        model: which of the server's to ask; all have the interface of `MODEL`.
    """

    def __init__(self, server: SplitResult, credentials: Credentials, model: str = MODEL) -> None:
        import tritonclient.grpc as protocol
        import tritonclient.grpc.aio as aio

        self._server = server.geturl()
        self._protocol, self._model = protocol, model
        self._headers = credentials.request_headers()
        certificate = credentials.certificate_file
        private_key = credentials.private_key_file or certificate
        for file in (credentials.ca_file, certificate, private_key):
            if file is not None:
                Path(file).open("rb").close()  # an OSError that names it, before tritonclient's own words
        self._client = aio.InferenceServerClient(
            server.netloc,
            ssl=server.scheme == "grpcs",
            root_certificates=credentials.authorities(),
            private_key=None if private_key is None else os.fspath(private_key),
            certificate_chain=None if certificate is None else os.fspath(certificate),
            channel_args=CHANNEL_ARGUMENTS,
        )

    async def infer(
        self,
        image: bytes,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """See `Transport.infer`."""
        from tritonclient.utils import InferenceServerException

        try:
            result = await self._client.infer(
                self._model,
                infer_inputs(self._protocol, image, options),
                outputs=[self._protocol.InferRequestedOutput(name) for name in outputs],
                priority=priority,
                client_timeout=timeout,
                headers={**self._headers, **trace_headers(), **about_headers()},
            )
        except InferenceServerException as error:
            raise self._error(error, timeout) from error
        try:
            found = {name: result.as_numpy(name) for name in outputs}
        except Exception as error:  # tritonclient believes what shapes and lengths say
            raise InferenceError(f"{self._server} does not answer like a Triton server") from error
        if any(tensor is None or (not tensor.size and name == "DETECTIONS") for name, tensor in found.items()):
            raise InferenceError(f"{self._server} does not answer like a Triton server")
        return found

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:
        """See `Transport.step_parameters`."""
        from tritonclient.utils import InferenceServerException

        try:
            answer = await self._client.get_model_config(
                EnsembleNames(self._model).step(step), client_timeout=timeout, headers=self._headers
            )
        except InferenceServerException as error:
            raise self._error(error, timeout) from error
        return {name: value.string_value for name, value in answer.config.parameters.items()}

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`."""
        from tritonclient.utils import InferenceServerException

        try:
            return bool(await self._client.is_model_ready(self._model, client_timeout=timeout, headers=self._headers))
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.close()

    def _error(self, error: Any, timeout: float | None) -> VFNetClientError:
        """Of an `InferenceServerException`."""
        status = str(error.status()).removeprefix("StatusCode.")
        return error_for(status, str(error.message()), self._server, timeout)


def infer_inputs(protocol: ModuleType, image: bytes, options: DetectionOptions = NO_OPTIONS) -> list[Any]:
    """The ensemble's input tensors, by `tritonclient.grpc` or its `aio`."""
    import numpy as np

    # dtype object: NumPy's own bytes type drops trailing zeros
    tensors = [protocol.InferInput("IMAGE", [1], "BYTES")]
    tensors[0].set_data_from_numpy(np.array([image], dtype=np.object_))
    for option in options.tensors():
        values = [value.encode() for value in option.values] if option.datatype == "BYTES" else option.values
        tensors.append(protocol.InferInput(option.name, [len(values)], option.datatype))
        tensors[-1].set_data_from_numpy(np.array(values, _DTYPES[option.datatype]))
    return tensors
