"""`python -m demonstration`, in a checkout: make the demonstration checkpoint anew."""

from __future__ import annotations

import sys

from vfnet_client.cli import Subcommand, run_command

if __name__ == "__main__":
    command = Subcommand("demonstration.command", "make the demonstration checkpoint anew", "train")
    sys.exit(run_command("python -m demonstration", command, sys.argv[1:]))
