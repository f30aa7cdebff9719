"""What can be wrong with a comparison."""

from __future__ import annotations

from vfnet_client.exceptions import VFNetError


class DriftError(VFNetError):
    """It cannot be done as asked; the message says why and what to do."""
