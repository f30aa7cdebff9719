"""VFNet -> what the `torch` configuration loads: weights, settings, and the network's own code.

The code travels as it is, not as a TorchScript or torch.export file: those freeze the operations of the machine that
wrote them, while here the CPU, a GPU, and a GPU with our own kernels compute the same modules in different ways.
"""

from __future__ import annotations

from pathlib import Path

import vfnet_runtime.architecture
from vfnet_build.copied_folder import copy_folder
from vfnet_runtime.architecture.network_file import write_network
from vfnet_runtime.architecture.vfnet import VFNet

PRECISIONS = ("f32", "bf16", "fp16")


def export(network: VFNet, directory: Path) -> None:
    """Write `network.pt` and the package `vfnet_runtime.architecture` into `directory`."""
    write_network(network, directory / "network.pt")
    source = Path(vfnet_runtime.architecture.__file__).parent
    target = directory / "vfnet_build" / "architecture"
    copy_folder(source, target)
    (target.parent / "__init__.py").touch()
