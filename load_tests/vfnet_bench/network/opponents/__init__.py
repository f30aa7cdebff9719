"""Who the served detector can be measured against, each in a module of its own. `choosing` lists them."""

NAMES = ("mmdet", "onnxruntime", "torch", "mlflow")
"""Of `choosing.OPPONENTS`, for whoever asks before torch is imported."""
