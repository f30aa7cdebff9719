"""What checks annotations: data sets read from the formats people have, checked before anything is computed.

In: COCO JSON, AutoML JSONL or Pascal VOC, and where the images are. Out: a `DetectionDataset`, or one `DatasetError`
with all problems. Start reading in `reading`.

    dataset = read_dataset(Path("val.json"), Path("photos"))

"""

import vfnet_client  # noqa: F401  # turns telemetry off
from vfnet_data.dataset import AnnotatedImage, DatasetError, DetectionDataset
from vfnet_data.reading import read_dataset

__all__ = ["AnnotatedImage", "DatasetError", "DetectionDataset", "read_dataset"]
