"""A server that a batch starts for itself, and that ends with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfnet_batch.errors import BatchError
from vfnet_build.repository import RepositoryError
from vfnet_client.free_ports import free_ports
from vfnet_client.model_names import MODEL
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.manifest import BuildOptions, Manifest, built_models
from vfnet_serve.background import StateFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError, find_triton
from vfnet_serve.starting import start_server


@dataclass(frozen=True)
class OwnServer:
    """Serves a built repository, or a checkpoint after building it, on free ports of this machine."""

    folder: Path
    """Where its repository, state and log are."""
    checkpoint: str | None = None
    repository: Path | None = None
    options: tuple[str, ...] = ()
    """More of `vfnet serve`."""
    model: str = MODEL
    """Of the repository's, the one that is asked."""

    def prepare(self) -> str:
        """Build what is missing; what identifies the model.

        Raises:
            BatchError: it cannot be built or served.
        """
        try:
            find_triton()
            if self.checkpoint is not None:
                from vfnet_build.building import build

                self._state.root.mkdir(parents=True, exist_ok=True)
                build(self.checkpoint, self._served, BuildOptions())
        except (CheckpointError, RepositoryError, ServerError) as error:
            raise BatchError(str(error)) from error
        return repository_model(self._served, self.model)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its URL, while in the context.

        Raises:
            BatchError: it does not start.
        """
        http, grpc, metrics = free_ports(3)
        endpoints = Endpoints(http_port=http, grpc_port=grpc, metrics_port=metrics)
        self._state.root.mkdir(parents=True, exist_ok=True)
        self._state.server.stop()  # one that outlived a killed batch
        try:
            start_server(self._state, endpoints, self.options, repository=self._served.absolute(), is_ours=True)
            yield endpoints.grpc_url
        except ServerError as error:
            raise BatchError(str(error)) from error
        finally:
            self._state.server.stop()

    def ending(self) -> str | None:
        """Why it runs no more; None while it does."""
        if self._state.server.find() is not None:
            return None
        log = self._state.server.log
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        return "\n".join([f"the server that this batch had started has ended, see {log}:", *last])

    @property
    def _state(self) -> StateFolder:
        return StateFolder(self.folder)

    @property
    def _served(self) -> Path:
        return self._state.repository if self.repository is None else self.repository


def repository_model(repository: Path, model: str = MODEL) -> str:
    """What identifies a model of a built repository.

    Raises:
        BatchError: it is none.
    """
    manifest = Manifest.read(repository, model)
    if manifest is None:
        others = ", ".join(each for each in built_models(repository) if each != model)
        raise BatchError(
            f"{repository} holds no model {model} written by this version of vfnet build"
            + (f"; it holds {others}: choose with --model" if others else "")
        )
    return f"{manifest.checkpoint_sha256} {manifest.options.engine} {manifest.options.precision}"


def checkpoint_model(checkpoint: str) -> str:
    """What identifies a checkpoint that torch computes.

    Raises:
        BatchError: it is none.
    """
    from vfnet_model.checkpoints.resolve import open_checkpoint

    try:
        return f"{open_checkpoint(checkpoint).sha256} torch"
    except CheckpointError as error:
        raise BatchError(str(error)) from error
