"""What a browser gets at /ui: plain files, served as they are by `vfnet_gateway.ui_routes`."""
