"""COCO's figures of a network in training, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vfnet_client.progress import with_progress
from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_evaluation import Evaluation, evaluate_detections
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_tiling.tiling import Tiling
from vfnet_train.processes import Processes


def evaluate_network(
    network: VFNet,
    dataset: DetectionDataset,
    processes: Processes,
    check: Callable[[], None],
    tiling: Tiling | None = None,
) -> Evaluation:
    """Detect in every image, each process in its share, with the steps that are served, in float32.

    Args:
        check: called after each image; may raise to stop.
        tiling: detect in tiles of each, too.

    Raises:
        InvalidImageError: an image cannot be read.
    """
    detector = CheckpointDetector(network, tiling=tiling)
    rank, world_size = processes.rank, processes.world_size
    share = dataset.images[rank::world_size]

    def detections() -> Iterator[ImageDetections]:
        for found in detector.detect_many(image.path for image in share):
            if isinstance(found, Exception):
                raise found
            check()
            yield found

    items = with_progress(detections(), len(share), "evaluating") if processes.is_main else detections()
    shares = processes.gather(list(items))
    every = [shares[index % world_size][index // world_size] for index in range(len(dataset.images))]
    return evaluate_detections(dataset, every)
