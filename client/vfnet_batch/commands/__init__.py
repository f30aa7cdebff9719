"""The batch subcommands; see `vfnet_client.cli`."""
