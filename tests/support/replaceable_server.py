"""A running server whose model can be replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from served_inference import document
from triton_server import ServedRepository
from vfnet_deploy.deploying import DeployOptions
from vfnet_deploy.running_server import RunningServer

Copying = Callable[[Path], None]


@dataclass
class Replaceable:
    """A running `vfnet serve` with a repository of its own."""

    served: ServedRepository
    image: bytes
    pictures: list[Path]
    told: list[str] = field(default_factory=list)

    @property
    def state_file(self) -> Path:
        return self.served.log.with_name("server.json")

    @property
    def server(self) -> RunningServer:
        return RunningServer.find(self.state_file)

    @property
    def beside(self) -> Path:
        return self.server.folder.path

    def triton(self) -> psutil.Process:
        """The server that `vfnet serve` has started."""
        (found,) = (each for each in self.server.process.children() if each.name().startswith("tritonserver"))
        return found

    def say(self, text: str) -> None:
        self.told.append(text)

    def options(self, **more: object) -> DeployOptions:
        return DeployOptions(images=self.pictures, **more)  # type: ignore[arg-type]

    def answer(self) -> dict[str, object]:
        """What the public name answers."""
        return document(self.served, self.image)

    def built_folders(self) -> list[str]:
        return sorted(path.name for path in self.beside.iterdir() if path.is_dir()) if self.beside.is_dir() else []


def copying(repository: Path) -> Copying:
    """A build that takes no time: of what is built already."""
    return lambda target: shutil.copytree(repository, target) and None
