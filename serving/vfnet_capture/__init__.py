"""Images that the gateway has answered, kept to learn from: what was found, why they were kept, what people made of it.

In: images with their `DETECTIONS`, offered by the gateway. Out: a store, which `vfnet drift`, `vfnet deploy`, the
review page and `vfnet captured` read, and tables that `vfnet finetune` and `vfnet evaluate` take. Start reading in
`layout`.

    store = open_store("captured")               # or s3://bucket/prefix
    for image in store.images():                 # oldest first
        print(image.at, image.deployment, image.certainty, len(image.detections))
        picture = store.picture(image)           # the bytes that the caller sent
"""

import vfnet_client  # noqa: F401  # turns telemetry off
from vfnet_capture.captured_image import CapturedImage, FoundBox, LabelledBox, Review
from vfnet_capture.store import CaptureStore, open_store

__all__ = ["CaptureStore", "CapturedImage", "FoundBox", "LabelledBox", "Review", "open_store"]
