"""Cost growth: what an image costs as images, concurrency and detections grow, and what memory does meanwhile."""
