"""The model as MLflow loads it ("model from code"): a data frame with a column of images -> the documented boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from vfnet_client import contract
from vfnet_client.exceptions import RequestError
from vfnet_mlflow import scoring_server
from vfnet_mlflow.scoring import FolderScorer

ARTIFACT = "network"
"""Of the model's artifacts: the folder of the network and its settings."""
THREADS, ALLOW_URLS_TO = "threads", "allow_urls_to"
"""Of the model's configuration: see `FolderScorer`."""


class VFNetModel(PythonModel):  # type: ignore[misc] # mypy sees no MLflow
    """Answers as `/score` does."""

    scorer: FolderScorer

    def load_context(self, context: Any) -> None:
        """Compile the network; nothing is fetched, and nothing is unpickled."""
        given = context.model_config or {}
        self.scorer = FolderScorer(
            Path(context.artifacts[ARTIFACT]), int(given.get(THREADS) or 0), given.get(ALLOW_URLS_TO) or ()
        )
        scoring_server.forget_telemetry()
        scoring_server.take_azureml_requests(VFNetModel)

    # MLflow checks what a type hint of its own kinds says, and warns where there is none; it leaves data frames alone.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """For each row `{"boxes": [...]}`, or `{"error": "..."}` where the image could not be read.

        Args:
            context: MLflow's, not needed any more.
            model_input: column `image`: base64 (also as a data URI), an http(s) URL, or encoded bytes.
            params: as at `/score`; None, and no classes, are as good as absent.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, of what makes no sense there.
        """
        del context
        # What pandas makes of null is none of its own kinds.
        images = [[None if pd.api.types.is_scalar(item) and pd.isna(item) else item] for item in model_input["image"]]
        table = {"columns": [contract.IMAGE_COLUMN], "data": images}
        # MLflow gives every parameter of the signature; a list has no other default than an empty one.
        given = {
            name: list(value) if name == "classes" else value
            for name, value in (params or {}).items()
            if value is not None and not (name == "classes" and len(value) == 0)
        }
        try:
            request = contract.read_score_request({"input_data": table, "params": given})
            answers = self.scorer.answer(request)
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return [
            {"error": answers.reasons[position]} if result is None else json.loads(result)
            for position, result in enumerate(answers.results)
        ]
