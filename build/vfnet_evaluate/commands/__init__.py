"""The `vfnet evaluate` subcommand."""
