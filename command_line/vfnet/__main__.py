"""`python -m vfnet`: the `vfnet` command, also where nothing is installed and PYTHONPATH names the folders."""

from __future__ import annotations

import sys

from vfnet.command_table import COMMANDS
from vfnet_client.cli import main

if __name__ == "__main__":
    sys.exit(main(more=COMMANDS))
