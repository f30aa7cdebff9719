"""A checkpoint, or a network in training, detecting in this process by torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vfnet_model.augmentations import Augmentations
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import Checkpoint, build_network, load_checkpoint
from vfnet_model.detectors.network_detector import ONE_VIEW, NetworkDetector
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_tiling.tiling import Tiling


def load_network(checkpoint: Checkpoint, device: str | None = None) -> VFNet:
    """The checkpoint's network on a device; None is the first GPU, or the CPU where there is none.

    Raises:
        CheckpointError: torch has no such device here.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return build_network(checkpoint).to(torch.device(name))
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise CheckpointError(f"torch cannot compute on {name!r}: {error}") from None


class CheckpointDetector(NetworkDetector):
    """A `NetworkDetector` whose network is torch's.

    A network in training may be given: detecting puts it into evaluation mode, and back as it was. Its weights are used
    as they are at that moment and where they are (CPU or GPU), in float32 without autocast. Not for several threads.
    """

    def __init__(
        self, model: VFNet | Path, augmentations: Augmentations = ONE_VIEW, tiling: Tiling | None = None
    ) -> None:
        """Take a network, or load a checkpoint file.

        Args:
            model: a network (of a DDP wrapper its `.module`), or a path.
            augmentations, tiling: see `NetworkDetector`.

        Raises:
            CheckpointError: the file is no checkpoint that can be used.
        """
        network = model if isinstance(model, VFNet) else build_network(load_checkpoint(model))
        super().__init__(network.config, self.predict, augmentations, tiling)
        self._predictor = DensePredictor(network)

    def predict(
        self, pixels: npt.NDArray[np.uint8], valid_shape: npt.NDArray[np.int32]
    ) -> list[npt.NDArray[np.float32]]:
        """The network alone, here in torch; another engine takes its place in a subclass.

        Returns:
            The outputs of `DensePredictor` for the one image in the batch, without their first axis.
        """
        network = self._predictor.network
        device = next(network.parameters()).device
        self._predictor.to(device)
        with _evaluating(network), torch.inference_mode(), torch.autocast(device.type, enabled=False):
            outputs = self._predictor(torch.from_numpy(pixels).to(device), torch.from_numpy(valid_shape).to(device))
            return [output[0].cpu().numpy() for output in outputs]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode, and every module back as it was afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
