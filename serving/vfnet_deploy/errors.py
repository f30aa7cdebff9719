"""What can go wrong with a deployment."""

from __future__ import annotations

from vfnet_client.exceptions import VFNetError


class DeployError(VFNetError):
    """A deployment or a rollback did not happen; the message says why, and what serves."""


class NoRoomError(DeployError):
    """Both models do not fit into memory at the same time."""
