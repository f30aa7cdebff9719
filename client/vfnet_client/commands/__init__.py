"""The client's own subcommands; see `vfnet_client.cli`."""
