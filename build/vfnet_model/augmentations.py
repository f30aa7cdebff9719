"""Which views of each image are detected in: a person's choice of test-time augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.settings import LIMITS


@dataclass(frozen=True)
class Augmentations:
    """The views that each image is detected in. As it stands the one view of the checkpoint's own test pipeline."""

    flip: bool = False
    """Also mirrored, left and right exchanged, at every scale."""
    scales: tuple[tuple[int, int], ...] = ()
    """Longest and shortest sides in pixels an image is resized to fit, in turn. None: the network's `img_scale`."""

    def __bool__(self) -> bool:
        """Whether there is more than the one view."""
        return self.flip or bool(self.scales)

    def __str__(self) -> str:
        """In the words of the options, such as `flip, scales 1333x800 1000x600`."""
        scales = " ".join(f"{longest}x{shortest}" for longest, shortest in self.scales)
        return ", ".join(filter(None, ("flip" if self.flip else "", scales and f"scales {scales}")))

    def check(self) -> None:
        """Raises CheckpointError: a scale is beyond what is served, or there twice, which would find nothing more."""
        for position, scale in enumerate(self.scales):
            words = f"--scales {scale[0]}x{scale[1]}"
            if not all(side in LIMITS["img_scale"] for side in scale):
                raise CheckpointError(f"{words}: each side may be {LIMITS['img_scale']} pixels")
            if scale in self.scales[:position]:
                raise CheckpointError(f"{words} is given twice; leave one out")
