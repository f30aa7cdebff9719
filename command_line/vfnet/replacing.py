"""`vfnet up` with another checkpoint: the model that serves is replaced, and nothing is started again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from vfnet_client.atomic_files import write_inside
from vfnet_client.model_names import MODEL
from vfnet_deploy.deploying import Build, DeployOptions, deploy, forget_deployments
from vfnet_deploy.errors import NoRoomError
from vfnet_deploy.running_server import RunningServer
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_model.manifest import Manifest
from vfnet_serve.background import StateFolder
from vfnet_serve.deployments.wanted import DeploymentsFolder

Say = Callable[[str], None]


class AskedModel:
    """What `vfnet up` was last asked to serve, in a file of the state folder.

    What `vfnet deploy` put in its place since stays, until `vfnet up` is asked for something else.
    """

    def __init__(self, folder: StateFolder, planned: Manifest) -> None:
        self._folder = folder
        self._file = folder.root / "asked.json"
        self._identity = _identity(planned)
        self._deployments = DeploymentsFolder(folder.repository.absolute())

    def is_new(self) -> bool:
        """Whether it is another than the last time."""
        try:
            before = json.loads(self._file.read_text(encoding="utf-8"))["build"]
        except (OSError, ValueError, TypeError, KeyError):
            built = Manifest.read(self._folder.repository)  # of a version that wrote no such file
            before = None if built is None else _identity(built)
        return bool(before != self._identity)

    def replace(self, build: Build, say: Say) -> bool:
        """Have the running server serve it; False: there is no room beside the old one.

        Raises:
            DeployError, DeploymentsError: it does not, and the old one serves. Likewise what `build` raises.
        """
        server = RunningServer.find(self._folder.server.state_file)
        try:
            deploy(DeployOptions(images=[SAMPLE_PICTURE]), server, build, say)
        except NoRoomError as error:
            say(f"{error}; the server is started again instead")
            return False
        self.remember()
        return True

    def build_anew(self, build: Callable[[Path], bool]) -> bool:
        """Build it into the repository, for a server that is about to start; whether that took any time."""
        if not self.is_new():
            return not self._lies_beside() and build(self._folder.repository)
        was_built = build(self._folder.repository)
        forget_deployments(self._deployments)
        self.remember()
        return was_built

    def _lies_beside(self) -> bool:
        """Whether what is live is a deployment, of this `vfnet up` or of a `vfnet deploy` after it."""
        live = self._deployments.read().live(MODEL)
        return live > 1 and Manifest.read(self._deployments.build_folder(MODEL, live)) is not None

    def remember(self) -> None:
        """From now on, this is what was asked for."""
        write_inside(self._file, json.dumps({"build": self._identity}).encode() + b"\n")


def _identity(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(asdict(manifest), sort_keys=True).encode()).hexdigest()
