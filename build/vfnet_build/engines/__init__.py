"""One module per engine: a VFNet -> what that engine of `vfnet_detector` loads."""
