"""Where MLflow's scoring server is made to do what it does not by itself.

It takes `dataframe_split`, `dataframe_records`, `instances` and `inputs` (2.x, and 3.x to 3.17), and refuses AzureML's
`input_data` before the model is asked: AzureML's endpoints have a server of their own.
"""

from __future__ import annotations

import functools
import logging
import sys
from contextlib import suppress
from typing import Any

from vfnet_client import contract
from vfnet_client.exceptions import RequestError

_SERVER = "mlflow.pyfunc.scoring_server"
_AZUREML = "input_data"
_TAKES_AZUREML = "_vfnet_takes_input_data"
_logger = logging.getLogger(__name__)


def take_azureml_requests(model_type: type[Any]) -> None:
    """Let the scoring server of this process, if it is one, answer bodies with `input_data` as `/score` does.

    Its function `invocations`, which turns every body into an answer, is asked for these no more. Where a version of
    MLflow has no such function, what it takes by itself goes on.

    Args:
        model_type: of the models that this is about; it has a `scorer`. Requests for others are left alone.
    """
    server = sys.modules.get(_SERVER)
    theirs = getattr(server, "invocations", None)
    if server is None or hasattr(theirs, _TAKES_AZUREML):
        return
    if theirs is None or not hasattr(server, "InvocationsResponse"):
        _logger.warning("this version of MLflow cannot be taught AzureML's requests: send dataframe_split")
        return

    @functools.wraps(theirs)
    def invocations(data: Any, content_type: Any, model: Any, *more: Any, **named: Any) -> Any:
        scorer = _scorer_of(model, model_type)
        document = None if scorer is None else _azureml_request(data, content_type)
        if scorer is None or document is None:
            return theirs(data, content_type, model, *more, **named)
        try:
            status, body = scorer.score(document)
        except Exception:
            _logger.exception("a request could not be answered")
            status, body = 500, contract.error_body(RuntimeError("the model failed on this request; its log says more"))
        return server.InvocationsResponse(response=body.decode(), status=status, mimetype="application/json")

    setattr(invocations, _TAKES_AZUREML, True)
    server.invocations = invocations  # type: ignore[attr-defined] # a module


def forget_telemetry() -> None:
    """Have MLflow look at its variables again: it reads them when it is imported, which was before us."""
    with suppress(Exception):  # another version has no such function; its variables are set all the same
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()


def _scorer_of(model: Any, model_type: type[Any]) -> Any:
    """Of a loaded model of the type, else None."""
    with suppress(Exception):  # of other kinds of models, MLflow's own
        unwrapped: Any = model.unwrap_python_model()
        return unwrapped.scorer if isinstance(unwrapped, model_type) else None
    return None


def _azureml_request(data: Any, content_type: Any) -> Any:
    """The parsed body if it is AzureML's; None: MLflow may say what is wrong with it."""
    body = data.encode() if isinstance(data, str) else data
    if not isinstance(body, bytes | bytearray) or f'"{_AZUREML}"'.encode() not in body:
        return None
    try:
        contract.check_content_type(content_type)
        document = contract.parse_json(body)
    except RequestError:
        return None
    return document if isinstance(document, dict) and _AZUREML in document else None
