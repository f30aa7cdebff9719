"""The secret that Triton's control plane asks for: loading models, shared memory, tracing, logging.

It is made anew at each start. `vfnet serve` sends it, and nobody else has it: not in the arguments of a process, not in
the variables of another, not in a log. Whoever may read this account's files finds it in `control.json`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vfnet_client.atomic_files import write_inside
from vfnet_serve.server_log import say
from vfnet_supervision.process_identity import process_identity

RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""By Triton's names; inference, health, metadata, model configuration, statistics and metrics stay open."""
_KEY = "vfnet-control"
_GRPC_PREFIX = "triton-grpc-protocol-"
"""Triton asks for the key under this name among a call's metadata."""


@dataclass(frozen=True)
class ControlPlane:
    """Who may control one server."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def http_headers(self) -> dict[str, str]:
        """What an HTTP request must carry."""
        return {_KEY: self.secret}

    @property
    def grpc_metadata(self) -> dict[str, str]:
        """What a gRPC call must carry."""
        return {_GRPC_PREFIX + _KEY: self.secret}

    def server_options(self) -> dict[str, str]:
        """Options of tritonserver, and their values, which nobody else is to see."""
        rule = f"{','.join(RESTRICTED)}:{_KEY}={self.secret}"
        return {"--http-restricted-api": rule, "--grpc-restricted-protocol": rule}

    @contextmanager
    def written_beside(self, state_file: Path | None) -> Iterator[None]:
        """While in the context, `control.json` beside the state file, if there is one, holds what calls must carry.

        Only this account may read it. A disk that is full is no reason not to serve.
        """
        if state_file is None:
            yield
            return
        path = state_file.with_name("control.json")
        document = {
            "pid": os.getpid(),
            "identity": process_identity(os.getpid()),
            "http_headers": self.http_headers,
            "grpc_metadata": self.grpc_metadata,
        }
        try:
            write_inside(path, json.dumps(document, indent=2).encode() + b"\n", mode=0o600)
        except OSError as error:
            say(f"{path} could not be written ({error.strerror}): nobody else can control Triton", "WARNING")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
