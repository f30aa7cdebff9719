"""What can be wrong with a checkpoint. `str(error)` alone is fit for a terminal."""

from vfnet_client.exceptions import VFNetError


class CheckpointError(VFNetError):
    """A checkpoint could not be had or used; the message says why and what to do."""


class ConfigTextError(CheckpointError):
    """A checkpoint's config text is not the plain literals that mmcv writes."""


class UnsupportedModelError(CheckpointError):
    """A checkpoint's config asks for something that this package does not build."""


class DownloadError(CheckpointError):
    """A file could not be downloaded."""
