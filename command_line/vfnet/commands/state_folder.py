"""The option that `vfnet up`, `down` and `logs` share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_state_folder_argument(parser: argparse.ArgumentParser) -> None:
    """`--state`, a folder."""
    parser.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="folder for all that is written (default: var)"
    )
