"""Every network of MMDetection's configs/vfnet, served and in MMDetection."""
