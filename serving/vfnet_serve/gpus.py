"""GPUs that the server sees, and those that are taken out because a detector cannot be loaded on them."""

from __future__ import annotations

import os
import re

from vfnet_runtime.triton_models.gpu_instances import NO_ROOM, UNUSABLE

_UNUSABLE = re.compile(UNUSABLE.replace("{}", r"(?P<number>\d+)"))


class VisibleGpus:
    """What CUDA_VISIBLE_DEVICES says to the server."""

    def __init__(self, visible: str | None, count: int) -> None:
        """
        Args:
            visible: as given; None: what this process sees.
            count: of GPUs, where neither says which.
        """
        named = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
        self.visible = visible
        self._names = [str(number) for number in range(count)] if named is None else named.split(",")

    def take_out(self, reason: str) -> str | None:
        """Leave out the GPU that `reason` says cannot be used; its name.

        Returns:
            None where none is said to be so, or where it is the last.
        """
        found = _UNUSABLE.search(reason)
        number = int(found["number"]) if found else -1
        if not 0 <= number < len(self._names) or len(self._names) == 1:
            return None
        name = self._names.pop(number)
        self.visible = ",".join(self._names)
        return name


def says_gpu_is_unusable(reason: str) -> bool:
    """Whether a detector said that its GPU cannot be used."""
    return _UNUSABLE.search(reason) is not None


def says_there_is_no_room(reason: str) -> bool:
    """Whether a detector said that its GPU does not hold it beside the one that serves."""
    return NO_ROOM in reason
