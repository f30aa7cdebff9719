"""COCO evaluation of a running server or a checkpoint."""
