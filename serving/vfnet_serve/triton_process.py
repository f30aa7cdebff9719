"""One Triton server process: started, awaited, asked to load models again, stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import psutil
from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.answer_about import HEADER as ABOUT_HEADER
from vfnet_client.cache import default_cache_dir
from vfnet_serve.adapted_repository import write_config
from vfnet_serve.chosen_environment import chosen_environment
from vfnet_serve.control_plane import ControlPlane
from vfnet_serve.deployments.served_models import ServedDeployment, ServedModels
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.hidden_arguments import TracingForbiddenError, start_with_hidden, start_with_shown
from vfnet_serve.installation import ServerError, StaleRepositoryError, TritonInstallation, TritonLostError
from vfnet_serve.local_http import fetch
from vfnet_serve.scratch_folder import ScratchFolder
from vfnet_serve.server_log import ServerLog, print_line, say
from vfnet_serve.trace_export import TRACE_HEADER, TraceExport

_SECONDS_AFTER_LOSS = 2.0
_UNLOAD_SECONDS = 5.0
"""For models that nothing waits for any more. One whose process was killed, or hangs, never goes."""
_LOAD_TIMEOUT = 1800.0
"""Seconds; a detector may have to be compiled, and whoever waits also looks whether anything happens."""
_DEAD_PROCESS = "is not healthy"
"""What Triton says of a model process that does not run."""
_ASK_SECONDS, _ANSWER_SECONDS = 1.0, 3.0
_LOG_SECONDS = 1.0
"""For what Triton has written to be read."""


class TritonProcess:
    """A context: the server runs inside it and is gone, with all it started, after it."""

    def __init__(
        self,
        installation: TritonInstallation,
        models: ServedModels,
        endpoints: Endpoints,
        log: ServerLog,
        *,
        control: ControlPlane,
        gpus: str | None = None,
        exit_timeout: int = 30,
        traces: TraceExport | None = None,
    ) -> None:
        """
        Args:
            models: what it serves; the repositories they come from are left as they are.
            control: who may load its models again.
            gpus: what the server sees of this machine's GPUs, as CUDA_VISIBLE_DEVICES; None: as this process does.
            traces: where it and its models export spans; None: nowhere.
        """
        self.models = models
        self.control = control
        self.endpoints = endpoints
        self.log = log
        self.exit_timeout = exit_timeout
        self.is_watched = False
        """Whether it was ready."""
        self._answered = 0.0
        self._ends = threading.Event()
        self.has_lost_a_process = False
        """Set by whoever sees that a model process died, or does not end."""
        self._scratch = ScratchFolder()
        scratch = self._scratch.path
        self.repository = scratch / "repository"
        """As Triton reads it."""
        self.activity_dir = scratch / "activity"
        self.activity_dir.mkdir()
        configs = models.configs()
        models.lay_out(self.repository)
        self._command = [
            str(installation.binary),
            f"--model-repository={self.repository}",
            *installation.link_backends(scratch),
            *endpoints.triton_options(),
            # Only under explicit control can a model be loaded again.
            "--model-control-mode=explicit",
            # Else it is not ready while a model is loaded beside those that serve; it listens when all are loaded.
            "--strict-readiness=false",
            *(f"--load-model={name}" for name in configs),
            f"--exit-timeout-secs={exit_timeout}",
            f"--backend-config=python,shm-region-prefix-name={self._scratch.shared_memory_prefix}",
        ]
        handed_on = [ABOUT_HEADER] if traces is None else [ABOUT_HEADER, TRACE_HEADER]
        self._command += [f"--{way}-header-forward-pattern={'|'.join(handed_on)}" for way in ("http", "grpc")]
        if traces is not None:
            self._command += traces.triton_options()
        if all(config.backend == "python" or config.platform == "ensemble" for config in configs.values()):
            # Else each model's code is run once more only to ask it for what is written: seconds of every start.
            self._command.append("--disable-auto-complete-config")
        self._environment = (
            chosen_environment(os.environ)
            | {"VFNET_CACHE_DIR": str(default_cache_dir())}
            | installation.environment()
            | {
                "VFNET_ACTIVITY_DIR": str(self.activity_dir),
                "PYTHONUNBUFFERED": "1",
            }
            | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus})
            | ({} if traces is None else traces.environment())
        )

    def __enter__(self) -> TritonProcess:
        self.process = self._start()
        self._reader = threading.Thread(target=self._print_log, daemon=True)
        self._reader.start()
        threading.Thread(target=self._end_what_it_leaves, daemon=True).start()
        return self

    def _start(self) -> subprocess.Popen[str]:
        how: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "errors": "replace",
            # A terminal's Ctrl-C is for us alone: the models must finish what they are doing.
            "start_new_session": True,
        }
        hidden = self.control.server_options()
        try:
            return start_with_hidden(self._command, hidden, self._environment, **how)
        except (TracingForbiddenError, OSError) as error:
            why = str(error) or "tracing is forbidden here"
            say(
                f"other accounts of this machine can read in Triton's arguments what controls it ({why}): "
                "with it they can load models of theirs",
                "WARNING",
            )
            return start_with_shown(self._command, hidden, self._environment, **how)

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
        """Whether the server says that it is ready: it has loaded its models."""
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

    def has_answered(self) -> None:
        """Now, or it could not be asked."""
        self._answered = time.monotonic()

    def seconds_without_answer(self) -> float:
        """Since it last said that it lives, for which it is asked every second once it is ready."""
        return time.monotonic() - self._answered if self.is_watched else 0.0

    def watch_answers(self) -> None:
        """Ask it from now on; it was ready."""
        self.has_answered()
        self.is_watched = True
        threading.Thread(target=self._keep_asking, name="triton answers", daemon=True).start()

    def _keep_asking(self) -> None:
        while not self._ends.wait(_ASK_SECONDS):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._request("/v2/health/live", None, timeout=_ANSWER_SECONDS)
                self.has_answered()

    def children(self) -> list[psutil.Process]:
        """The processes that it started."""
        try:
            return list(psutil.Process(self.process.pid).children())
        except psutil.NoSuchProcess:
            return []

    def failure(self) -> ServerError:
        """Why the process ended, from its log: for good if it said why it cannot serve."""
        self._reader.join(timeout=5)
        if self.log.load_failures and not self.is_watched:
            causes = [f"{model} failed to load: {cause}" for model, cause in self.log.load_failures.items()]
            roots = [cause for cause in causes if "depends on" not in cause]
            if any(_DEAD_PROCESS in cause for cause in self.log.load_failures.values()):
                # Triton says only that it is dead; what it wrote itself says more.
                words = " ".join(self.log.last_words)
                return TritonLostError("; ".join([*(roots or causes), *([words] if words else [])]))
            return ServerError("; ".join(roots or causes))
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = "; ".join([f"the Triton server {how}", *self.log.last_errors[-1:]])
        return TritonLostError(said) if code < 0 or self.is_watched else ServerError(said)

    def reload(self, model: str, *, unload_first: bool = False) -> None:
        """Start a model anew, at once and therefore not warmed up; the old one finishes what it has.

        A plain `load` of a loaded model does nothing while its files are as they were, and an `unload`
        first would take the ensemble away and wait for all that is in it. A changed configuration is
        a reason to load, and Triton then swaps the two.

        Args:
            unload_first: do that all the same, for there is no room for both.

        Raises:
            StaleRepositoryError: its files would be those of another build than the other models'.
            ServerError: the server refused or did not answer, with its reason.
        """
        build = self.models.build_of(model)
        if build is not None and build.is_replaced():
            raise StaleRepositoryError(
                f"{model} has to be loaded again, but {build.repository} was built anew since: start this again"
            )
        if unload_first:
            self.unload([model], _UNLOAD_SECONDS)
        with _saying_what_could_not_be_loaded(model):
            try:
                config = json.loads(self._request(f"/v2/models/{model}/config", None))
            except urllib.error.HTTPError:  # it was unloaded
                for name in (model, *self.models.ensembles_over(model)):
                    self._request(f"/v2/repository/models/{name}/load", b"{}")
                return
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
        write_config(self.repository / model, config)
        with _saying_what_could_not_be_loaded(model):
            self._request(f"/v2/repository/models/{model}/load", b"{}")

    def _request(self, path: str, body: bytes | None, timeout: float = _LOAD_TIMEOUT) -> bytes:
        """POST `body`, or GET where there is none."""
        return fetch(f"{self.endpoints.http_url}{path}", body, timeout=timeout, headers=self.control.http_headers)

    def drain(self) -> None:
        """Take no new images and finish those under way, for at most `exit_timeout` seconds; let the models go.

        A stopping server refuses to hand an image from one step of the ensemble to the next (2.51), so the ensemble is
        unloaded first: that waits for what is in it. Whether the others are gone it asks itself once a second only.
        """
        if self.process.poll() is not None:
            return  # whoever listens on its port now is another
        ensembles = self.models.ensembles()
        self.unload(ensembles, self.exit_timeout)
        others = [name for name in self.models.configs() if name not in ensembles]
        if not self.has_lost_a_process and not self.unload(others, _UNLOAD_SECONDS):
            self.has_lost_a_process = True

    def load_new(self, deployment: ServedDeployment, given_up: threading.Event) -> None:
        """Load a deployment under names that are not in use; what was loaded of it is gone again if it fails.

        Args:
            given_up: set by whoever does not wait for it any more, see `give_up`.

        Raises:
            ServerError: the server did not load it, with its reason.
            OSError: it cannot be laid out.
        """
        try:
            deployment.lay_out(self.repository)
            for name in deployment.loads():
                if given_up.is_set():
                    raise ServerError(f"{name} is not loaded: nobody waits for it any more")
                self.log.load_failures.pop(name, None)
                try:
                    with _saying_what_could_not_be_loaded(name):
                        self._request(f"/v2/repository/models/{name}/load", b"{}")
                except ServerError as error:
                    cause = self._cause_of_failure(name)
                    raise ServerError(f"{name} failed to load: {cause}") if cause else error from None
            if given_up.is_set():
                raise ServerError(f"{deployment.names.ensemble} is unloaded: nobody waits for it any more")
        except (ServerError, OSError):
            self.unload_all(deployment, _UNLOAD_SECONDS)
            raise

    def _cause_of_failure(self, name: str) -> str | None:
        """Why a model was not loaded, in its own words: these may come a moment after Triton's answer."""
        deadline = time.monotonic() + _LOG_SECONDS
        while (cause := self.log.load_failures.get(name)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return cause

    def turn(self, deployment: ServedDeployment) -> None:
        """Have a loaded deployment answer under its model's public name; what is under way ends where it began.

        Triton builds the new ensemble beside the old one and then swaps them (2.51). Requests that the old one has hold
        on to its steps, also when these are unloaded.

        Raises:
            ServerError: the server did not do it; the name is where it was.
        """
        deployment.lay_out_public(self.repository)
        with _saying_what_could_not_be_loaded(deployment.model):
            self._request(f"/v2/repository/models/{deployment.model}/load", b"{}")

    def unload_all(self, deployment: ServedDeployment, seconds: float) -> bool:
        """Unload a deployment, and remove what Triton read of it; whether it was gone within so many seconds."""
        names = deployment.loads()[::-1]
        is_gone = self.unload(names, seconds)
        for name in names:
            shutil.rmtree(self.repository / name, ignore_errors=True)
        return is_gone

    def give_up(self, deployment: ServedDeployment) -> set[str]:
        """Unload what is loaded of a deployment of which a load hangs; the models that stay, doing nothing (2.51)."""
        self.has_lost_a_process = True
        left = set(deployment.loads())
        with contextlib.suppress(OSError, ValueError):
            index = json.loads(self._request("/v2/repository/index", b"{}", _ANSWER_SECONDS))
            for name in [str(entry["name"]) for entry in index if entry.get("state") == "READY"]:
                if name in left:
                    self._request(f"/v2/repository/models/{name}/unload", b"{}", _ANSWER_SECONDS)
                    left.remove(name)
        for name in deployment.loads():
            shutil.rmtree(self.repository / name, ignore_errors=True)
        return left

    def unload(self, models: Sequence[str], seconds: float) -> bool:
        """Whether they are gone within so many seconds: after what they have to do."""
        if self.process.poll() is not None:
            return True  # whoever listens on its port now is another
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
        self._ends.set()
        try:
            if isinstance(error, TritonLostError):
                self._kill_all()  # nothing that it still does would end well
            else:
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
            self._scratch.__exit__(None, None, None)  # a killed process leaves its shared memory behind


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
