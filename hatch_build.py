"""What pyproject.toml cannot say: where the thin client is, on which this distribution depends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ClientDependency(MetadataHookInterface):
    """`vfnet-client` is taken from the folder `client`, never from a registry, where that name may be a stranger's."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the dependency."""
        metadata["dependencies"] = [f"vfnet-client @ {Path(self.root, 'client').as_uri()}"]
