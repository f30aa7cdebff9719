"""The MLflow model that `vfnet bench --against mlflow` serves: base64 images -> MMDetection -> the documented boxes.

Runs in an environment of MMDetection 2.x with MLflow, not in ours, and serves as MLflow's own "model from code":

usage: python -I mlflow_model.py FOLDER CONFIG CHECKPOINT THREADS

writes the model to FOLDER; CONFIG as in `mmdet_worker.py`, which travels with it.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.models import set_model


class MMDetModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """What AzureML's deployment is: a data frame with a column of images, one after another through the detector."""

    def load_context(self, context: Any) -> None:
        """Load MMDetection."""
        import mmdet_worker  # type: ignore[import-not-found]

        config = context.model_config
        self.run = mmdet_worker.detection(config["config"], config["checkpoint"], config["threads"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
        """`{"boxes": [...]}` for each row."""
        return [self.answer(base64.b64decode(image)) for image in model_input["image"]]

    def answer(self, encoded: bytes) -> Any:
        """Of one encoded image; corners as fractions of its size."""
        import mmcv  # type: ignore[import-not-found]

        pixels = mmcv.imfrombytes(encoded, flag="color_ignore_orientation")
        height, width = pixels.shape[:2]
        boxes = [
            {
                "box": {"topX": x1 / width, "topY": y1 / height, "bottomX": x2 / width, "bottomY": y2 / height},
                "label": label,
                "score": score,
            }
            for label, score, x1, y1, x2, y2 in self.run(pixels)
        ]
        return {"boxes": boxes}


if __name__ == "__main__":
    here = Path(__file__)
    mlflow.pyfunc.save_model(
        sys.argv[1],
        python_model=str(here),
        code_paths=[str(here.with_name("mmdet_worker.py"))],
        model_config={"config": sys.argv[2], "checkpoint": sys.argv[3], "threads": int(sys.argv[4])},
        pip_requirements=["mmdet"],  # else it would load the model to guess them
    )
    print(json.dumps({"mlflow": mlflow.__version__}))
else:
    set_model(MMDetModel())
