"""`vfnet convert`: a checkpoint as safetensors, or back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vfnet_client.safe_text import printable_lines
from vfnet_model.checkpoints.converting import check_output, write_checkpoint_file
from vfnet_model.checkpoints.resolve import open_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet convert`."""
    parser.add_argument("checkpoint", metavar="FILE|URL|FOLDER|coco|demo", help="what `vfnet build` takes")
    parser.add_argument(
        "output", type=Path, metavar="FILE", help="ends with .safetensors, or with .pth for mmdet's format"
    )
    parser.add_argument("--architecture", metavar="NAME", help="of a file without a config, as of `vfnet build`")
    parser.epilog = (
        "Weights become float32. Config and class names go along, so that the file can be built and trained on."
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, check, write."""
    check_output(arguments.output)
    checkpoint = open_checkpoint(arguments.checkpoint, architecture=arguments.architecture)
    write_checkpoint_file(checkpoint, arguments.output)
    said = f"vfnet convert: wrote {arguments.output}: {checkpoint.description}"
    print(printable_lines(said), file=sys.stderr, flush=True)
    return 0
