"""What `vfnet serve` says of what it serves: `deployments.json` beside its state file, and the folder `served`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vfnet_client.atomic_files import make_folder_inside, write_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.model_names import MODEL
from vfnet_model.manifest import MANIFEST, file_of

STATE = "deployments.json"
_SERVED = "served"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelState:
    """Of one model."""

    live: int
    """Answers under the public name."""
    loaded: tuple[int, ...] = ()
    """Can be asked, or be gone back to at once."""
    leaving: tuple[int, ...] = ()
    """Finish what they were asked before."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Those that were wanted and could not be had, and why."""


@dataclass(frozen=True)
class ServedState:
    """Of one server."""

    revision: int
    """Of what is wanted, that this has been brought in line with as far as it says."""
    models: Mapping[str, ModelState]
    bases: Mapping[str, str | None] = field(default_factory=dict)
    """Which builds of the repository's it began with, by model."""

    @staticmethod
    def read(path: Path) -> ServedState | None:
        """None: the server has not written one yet, or has ended."""
        try:
            document = json.loads(read_text(path, _MOST_BYTES))
            models = {
                name: ModelState(
                    int(of_model["live"]),
                    tuple(of_model["loaded"]),
                    tuple(of_model["leaving"]),
                    {int(number): str(reason) for number, reason in of_model["failed"].items()},
                )
                for name, of_model in document["models"].items()
            }
            return ServedState(int(document["revision"]), models, dict(document["bases"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Whole or not at all. Raises OSError."""
        write_inside(path, json.dumps(asdict(self), indent=2).encode() + b"\n")


def served_manifest(root: Path, model: str = MODEL) -> Path:
    """Where the manifest is of what answers under a model's name, in the folder of the state file."""
    return root / _SERVED / file_of(MANIFEST, model)


def write_served_manifest(root: Path, model: str, build: Path) -> None:
    """Say what answers under a model's name from now on. Raises OSError.

    Args:
        build: the folder of the built repository that holds it.
    """
    target = served_manifest(root, model)
    make_folder_inside(target.parent)
    write_inside(target, (build / file_of(MANIFEST, model)).read_bytes())
