"""Triton's entry to `vfnet_preprocess`."""

from __future__ import annotations

import json
from typing import Any

import cv2
import triton_python_backend_utils as pb_utils
from canvases import parse_canvases
from error_responses import cancelled, internal_error, invalid_argument
from image_decoding import ImageError, decode_image
from numpy.typing import NDArray
from process_activity import ProcessActivity
from resizing import resize_onto_canvas


class TritonPythonModel:
    """An encoded image -> its resized pixels; several processes of this model share the work."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters `vfnet build` wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        longest, shortest = (int(side) for side in parameters["img_scale"].split(","))
        self.img_scale = (longest, shortest)
        self.size_divisor = int(parameters["size_divisor"])
        self.canvases = parse_canvases(parameters["canvases"])
        self.max_image_pixels = int(parameters["max_image_pixels"])
        self.activity = ProcessActivity()
        cv2.setNumThreads(1)  # the network needs the other cores

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a failure is that request's alone."""
        return self.activity.answer_each(requests, self.answer)

    def answer(self, request: Any) -> Any:
        """Tensors, or an error: the caller's for what cannot be read as an image."""
        if request.is_cancelled():
            return cancelled()
        try:
            return pb_utils.InferenceResponse(output_tensors=self.preprocess(request))
        except ImageError as error:
            return invalid_argument(str(error))
        except Exception as error:
            return internal_error("the image could not be preprocessed", error)

    def preprocess(self, request: Any) -> list[Any]:
        """IMAGE -> PIXELS, VALID_SHAPE, GEOMETRY."""
        data: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
        image = decode_image(data.reshape(-1)[0], self.max_image_pixels)
        resized = resize_onto_canvas(image, self.img_scale, self.size_divisor, self.canvases)
        return [
            pb_utils.Tensor("PIXELS", resized.pixels),
            pb_utils.Tensor("VALID_SHAPE", resized.valid_shape),
            pb_utils.Tensor("GEOMETRY", resized.geometry),
        ]
