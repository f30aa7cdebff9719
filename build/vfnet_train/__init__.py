"""Training VFNet: assignment, losses, the loop, and what it leaves behind."""
