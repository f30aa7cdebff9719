"""Why an engine's files cannot be built here."""

from __future__ import annotations

from vfnet_build.repository import RepositoryError


class EngineError(RepositoryError):
    """The engine cannot be built here, or what was built is not accepted; the message says what to do."""
