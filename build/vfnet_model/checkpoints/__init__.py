"""Reading MMDetection 2.x VFNet checkpoints: from a file, a URL, the published one, or a made-up one."""
