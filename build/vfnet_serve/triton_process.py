"""One Triton server process: started, awaited, asked to load models again, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.cache import default_cache_dir
from vfnet_serve.adapted_repository import write_adapted, write_config
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError, StaleRepositoryError, TritonInstallation
from vfnet_serve.leftovers import scratch_prefix
from vfnet_serve.local_http import fetch
from vfnet_serve.parent_death import terminated_with_parent
from vfnet_serve.served_build import ServedBuild
from vfnet_serve.server_log import ServerLog, print_line

_SECONDS_AFTER_LOSS = 2.0
_UNLOAD_SECONDS = 5.0
"""For models that nothing waits for any more. One whose process was killed, or hangs, never goes."""
_LOAD_TIMEOUT = 300.0
"""Seconds; a detector may have to be compiled."""
ENSEMBLE = "vfnet"
"""The model that callers call."""


class TritonProcess:
    """A context: the server runs inside it and is gone, with all it started, after it."""

    def __init__(
        self,
        installation: TritonInstallation,
        build: ServedBuild,
        endpoints: Endpoints,
        log: ServerLog,
        configs: Mapping[str, ModelConfig],
        *,
        gpus: str | None = None,
        exit_timeout: int = 30,
    ) -> None:
        """
        Args:
            build: its repository is left as it is.
            configs: what its models are served with, by name.
            gpus: what the server sees of this machine's GPUs, as CUDA_VISIBLE_DEVICES; None: as this process does.
        """
        self.build = build
        self.endpoints = endpoints
        self.log = log
        self.exit_timeout = exit_timeout
        self._others = [model for model in configs if model != ENSEMBLE]
        self.has_lost_a_process = False
        """Set by whoever sees that a model process died, or does not end."""
        self._scratch = tempfile.TemporaryDirectory(prefix=scratch_prefix())
        scratch = Path(self._scratch.name)
        self._repository = scratch / "repository"
        self.activity_dir = scratch / "activity"
        self.activity_dir.mkdir()
        write_adapted(build.repository, configs, self._repository)
        self._shm_prefix = f"vfnet-{os.getpid()}-"
        self._command = [
            str(installation.binary),
            f"--model-repository={self._repository}",
            *installation.link_backends(scratch),
            *(f"--{name}-address={endpoints.host}" for name in ("http", "grpc", "metrics")),
            f"--http-port={endpoints.http_port}",
            f"--grpc-port={endpoints.grpc_port}",
            f"--metrics-port={endpoints.metrics_port}",
            # Only under explicit control can a model be loaded again.
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in configs),
            f"--exit-timeout-secs={exit_timeout}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
        ]
        self._environment = (
            os.environ
            | {"VFNET_CACHE_DIR": str(default_cache_dir())}
            | installation.environment()
            | {
                "VFNET_ACTIVITY_DIR": str(self.activity_dir),
                "PYTHONUNBUFFERED": "1",
            }
            | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus})
        )

    def __enter__(self) -> TritonProcess:
        self.process = subprocess.Popen(
            terminated_with_parent(self._command),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A terminal's Ctrl-C is for us alone: the models must finish what they are doing.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._print_log, daemon=True)
        self._reader.start()
        threading.Thread(target=self._end_what_it_leaves, daemon=True).start()
        return self

    def _end_what_it_leaves(self) -> None:
        """Kill the model processes when the server has died.

        One that was started while callers were connected holds their connections too (2.51), so that they, and a
        `load` of ours, would wait for an answer from nobody.
        """
        self.process.wait()
        self._kill_all()

    def _kill_all(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the server if it still runs, and any orphan of its

    def _print_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text := self.log.read(line):
                print_line(text)

    def is_ready(self) -> bool:
        """Whether the server and every loaded model say they are ready."""
        try:
            fetch(f"{self.endpoints.http_url}/v2/health/ready", timeout=5)
            return True
        except OSError:
            return False

    def has_ended(self, within: float = 0) -> bool:
        """Whether the server process is gone, or goes within so many seconds: connections to it end a little before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(within)
        return self.process.poll() is not None

    def failure(self) -> ServerError:
        """Why the process ended, from its log."""
        self._reader.join(timeout=5)
        if self.log.load_failures:
            causes = [f"{model} failed to load: {cause}" for model, cause in self.log.load_failures.items()]
            roots = [cause for cause in causes if "depends on" not in cause]
            return ServerError("; ".join(roots or causes))
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return ServerError("; ".join([f"the Triton server {how}", *self.log.last_errors[-1:]]))

    def reload(self, model: str) -> None:
        """Start a model anew, at once and therefore not warmed up; the old one finishes what it has.

        A plain `load` of a loaded model does nothing while its files are as they were, and an `unload`
        first would take the ensemble away and wait for all that is in it. A changed configuration is
        a reason to load, and Triton then swaps the two.

        Raises:
            StaleRepositoryError: its files would be those of another build than the other models'.
            ServerError: the server refused or did not answer, with its reason.
        """
        if self.build.is_replaced():
            raise StaleRepositoryError(
                f"{model} has to be loaded again, but {self.build.repository} was built anew since: start this again"
            )
        with _saying_what_could_not_be_loaded(model):
            config = json.loads(self._request(f"/v2/models/{model}/config", None))
            parameters = config.setdefault("parameters", {})
            parameters["loaded_at"] = {"string_value": f"{time.time():.3f}"}
            if "warm_up_seconds" in parameters:
                parameters["warm_up_seconds"] = {"string_value": "0"}
            body = {"parameters": {"config": json.dumps(config)}}
            self._request(f"/v2/repository/models/{model}/load", json.dumps(body).encode())
        self.log.load_failures.pop(model, None)  # of an earlier attempt

    def reconfigure(self, model: str, config: ModelConfig) -> None:
        """Serve a model with another configuration from now on; the old one finishes what it has.

        Raises:
            ServerError: as `reload` does.
        """
        write_config(self._repository / model, config)
        with _saying_what_could_not_be_loaded(model):
            self._request(f"/v2/repository/models/{model}/load", b"{}")

    def _request(self, path: str, body: bytes | None, timeout: float = _LOAD_TIMEOUT) -> bytes:
        """POST `body`, or GET where there is none."""
        return fetch(f"{self.endpoints.http_url}{path}", body, timeout=timeout)

    def drain(self) -> None:
        """Take no new images and finish those under way, for at most `exit_timeout` seconds; let the models go.

        A stopping server refuses to hand an image from one step of the ensemble to the next (2.51), so the ensemble is
        unloaded first: that waits for what is in it. Whether the others are gone it asks itself once a second only.
        """
        if self.process.poll() is not None:
            return  # whoever listens on its port now is another
        self._unload([ENSEMBLE], self.exit_timeout)
        if not self.has_lost_a_process and not self._unload(self._others, _UNLOAD_SECONDS):
            self.has_lost_a_process = True

    def _unload(self, models: Sequence[str], seconds: float) -> bool:
        """Whether they are gone within so many seconds."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError, ValueError):
            for model in models:
                self._request(f"/v2/repository/models/{model}/unload", b"{}", _until(deadline))
            while self.process.poll() is None and time.monotonic() < deadline:
                index = json.loads(self._request("/v2/repository/index", b"{}", _until(deadline)))
                if not any(entry["name"] in models and entry.get("state") == "UNLOADING" for entry in index):
                    return True
                time.sleep(0.05)
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.drain()
            self.process.terminate()
            # A server one of whose model processes was killed waits for it in vain (2.51).
            self.process.wait(_SECONDS_AFTER_LOSS if self.has_lost_a_process else self.exit_timeout + 5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill_all()
            self.process.wait()
            self._reader.join(timeout=5)
            for region in Path("/dev/shm").glob(f"{self._shm_prefix}*"):
                region.unlink(missing_ok=True)  # a killed process leaves its shared memory behind
            self._scratch.cleanup()


def _until(deadline: float) -> float:
    """Seconds that are left, and a moment for an answer that is on its way."""
    return max(deadline - time.monotonic(), 0.1)


@contextmanager
def _saying_what_could_not_be_loaded(model: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ServerError(f"could not load {model}: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise ServerError(f"could not load {model}: {error}") from None


def wait_until_ready(server: TritonProcess, stop: threading.Event) -> bool:
    """Wait for readiness; False if `stop` was set first.

    Raises:
        ServerError: the server ended instead.
    """
    while not stop.wait(0.1):
        if server.process.poll() is not None:
            raise server.failure()
        if server.is_ready():
            return True
    return False
