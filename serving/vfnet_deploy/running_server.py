"""The `vfnet serve` that a deployment goes to: found by its state file, and watched while it does what is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vfnet_client.model_names import deployment_name
from vfnet_deploy.errors import DeployError
from vfnet_serve.background import BackgroundProcess
from vfnet_serve.deployments.served_state import STATE, ModelState, ServedState
from vfnet_serve.deployments.wanted import DeploymentsFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.model_process import STUB

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class RunningServer:
    """One that serves, on this machine."""

    process: psutil.Process
    endpoints: Endpoints
    folder: DeploymentsFolder
    state_file: Path
    """Where it says which deployments it serves."""

    @staticmethod
    def find(state_file: Path) -> RunningServer:
        """The one that wrote this state file.

        Raises:
            DeployError: it does not run, or is of a version that deploys nothing.
        """
        running = BackgroundProcess("server", state_file.with_suffix(".log"), state_file).find()
        if running is None:
            raise DeployError(
                f"no server runs that has written {state_file}: start one with vfnet up, or name the folder of one "
                "with --state, or what vfnet serve was given with --state-file"
            )
        try:
            endpoints = Endpoints(**running.state["endpoints"])
            folder = DeploymentsFolder(Path(running.state["repository"]))
        except (KeyError, TypeError):
            raise DeployError(f"{state_file} is not of this version's vfnet serve: start the server again") from None
        found = RunningServer(running.process, endpoints, folder, state_file.with_name(STATE))
        found.state()
        return found

    def state(self) -> ServedState:
        """What it serves.

        Raises:
            DeployError: it says nothing of it.
        """
        state = ServedState.read(self.state_file)
        if state is None:
            why = "has ended" if not self.is_running() else "says nothing of its deployments"
            raise DeployError(f"the server {why} ({self.state_file}): see its log")
        return state

    def of_model(self, model: str) -> ModelState:
        """What it serves of a model.

        Raises:
            DeployError: it has none of that name.
        """
        models = self.state().models
        if model not in models:
            known = ", ".join(models)
            raise DeployError(f"the server has no model {model}; it has: {known}")
        return models[model]

    def is_running(self) -> bool:
        """Whether it has not ended."""
        try:
            return bool(self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def wait(self, model: str, holds: Callable[[ModelState], Any], seconds: float, what: str) -> ModelState:
        """What it serves of a model, once `holds` is true of that.

        Args:
            what: is waited for, for the message.

        Raises:
            DeployError: it has ended, or so many seconds were not enough.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = ServedState.read(self.state_file)
            if found is not None and model in found.models and holds(found.models[model]):
                return found.models[model]
            if not self.is_running():
                raise DeployError(f"the server has ended before {what}: see its log")
            if time.monotonic() > deadline:
                raise DeployError(f"{seconds:g} s were not enough until {what}: see the server's log")
            time.sleep(_LOOK_SECONDS)

    def memory(self) -> dict[str, int]:
        """Bytes that the model processes of each ensemble have for themselves, by its name in Triton."""
        found = dict[str, int]()
        try:
            children = self.process.children(recursive=True)
        except psutil.Error:
            return found
        for child in children:
            try:
                command = child.cmdline()
                if len(command) > 1 and Path(command[0]).name == STUB:
                    ensemble = Path(command[1]).parents[1].name.rpartition("_")[0]
                    found[ensemble] = found.get(ensemble, 0) + int(child.memory_full_info().uss)
            except (psutil.Error, IndexError):
                continue
        return found

    def memory_of(self, model: str, number: int) -> int:
        """The same of one deployment; 0 where it is not known."""
        return self.memory().get(deployment_name(model, number), 0)
