"""Whether the detector behind the gateway could serve, asked at most twice a second whoever wants to know."""

from __future__ import annotations

from time import monotonic

from vfnet_client.transport import Transport
from vfnet_gateway.ensemble import Ensemble

_ASK_AGAIN_AFTER_S = 0.5
_PATIENCE_S = 3.0


class Readiness:
    """Of one Triton.

    That goes on saying that it is ready when a model's process has died: the images that wait know better.
    """

    def __init__(self, transport: Transport, ensemble: Ensemble) -> None:
        self._transport, self._ensemble = transport, ensemble
        self._ready, self._asked_at = False, -_ASK_AGAIN_AFTER_S

    async def is_ready(self) -> bool:
        """Whether an image that is sent now would be answered."""
        if self._ensemble.is_waited_for:
            return False
        if monotonic() - self._asked_at >= _ASK_AGAIN_AFTER_S:
            self._ready = await self._transport.is_ready(timeout=_PATIENCE_S)
            self._asked_at = monotonic()
        return self._ready
