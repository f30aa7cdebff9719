"""What ends a batch before its end."""

from __future__ import annotations

from vfnet_client.exceptions import InterruptedWorkError, VFNetError


class BatchError(VFNetError):
    """It cannot be done as asked, or not go on; the message says why and what to do."""


class InterruptedBatchError(BatchError, InterruptedWorkError):
    """A signal ended it; what is done is saved."""
