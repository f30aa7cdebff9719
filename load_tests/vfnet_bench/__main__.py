"""`python -m vfnet_bench NAME` is `vfnet bench NAME`, where nothing is installed and PYTHONPATH names the folders."""

from __future__ import annotations

import sys

from vfnet_client.cli import Subcommand, run_command

if __name__ == "__main__":
    command = Subcommand("vfnet_bench.command", "measure speed", "measure", "bench")
    sys.exit(run_command("vfnet bench", command, sys.argv[1:]))
