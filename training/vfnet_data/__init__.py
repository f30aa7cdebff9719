"""Annotated images: datasets read from the formats people have, checked before anything is computed."""

import vfnet_client  # noqa: F401  # turns telemetry off
from vfnet_data.dataset import AnnotatedImage, DatasetError, DetectionDataset
from vfnet_data.reading import read_dataset

__all__ = ["AnnotatedImage", "DatasetError", "DetectionDataset", "read_dataset"]
