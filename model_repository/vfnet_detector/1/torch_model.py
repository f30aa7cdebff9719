"""Triton's entry to `vfnet_detector` in PyTorch: see configs/torch.pbtxt."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# The network's own code travels with it, and comes before another version that may be installed here.
sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True  # that code's folder may be a repository's own, which stays as it was built

import torch
import triton_python_backend_utils as pb_utils
from decoupled_responses import send_only_response
from error_responses import cancelled, internal_error
from process_activity import ProcessActivity
from torch_engine import Candidates, Image, TorchEngine

FAILED = "the image could not be detected in"


class TritonPythonModel:
    """Pixels -> candidates, a batch of any sizes at a time, on the device of this instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network that `vfnet build` wrote, with the parameters it wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        on_gpu = args["model_instance_kind"] == "GPU"
        _keep_compiled_kernels()
        self.engine = TorchEngine(
            Path(args["model_repository"]) / args["model_version"] / "network.pt",
            f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu",
            parameters["inference_precision"],
            parameters["canvases"],
            tuple(int(size) for size in parameters["batch_sizes"].split(",")),
        )
        self.activity = ProcessActivity()
        pb_utils.Logger.log_info(f"vfnet_detector: {self.engine.description}")

    def execute(self, requests: list[Any]) -> None:
        """Answer each request as soon as its batch is done; return when all are."""
        senders, images = [], []
        for request in requests:
            sender = request.get_response_sender()
            self.activity.change(+1)
            if self.activity.is_cancelled(request):
                self.respond(sender, cancelled())
                continue
            pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
            valid_shape = pb_utils.get_input_tensor_by_name(request, "VALID_SHAPE").as_numpy()
            senders.append(sender)
            images.append(Image(pixels, valid_shape))
        for position, outcome in self.engine.detect(images):
            self.respond(senders[position], answer(outcome))
        self.give_up_if_broken()

    def respond(self, sender: Any, response: Any) -> None:
        """Send one request's only response."""
        self.activity.pauses.end_if_given_up()
        send_only_response(sender, response)
        self.activity.change(-1)

    def give_up_if_broken(self) -> None:
        """After some errors CUDA answers nothing more in this process; `vfnet serve` starts another in its place."""
        if self.engine.device.type == "cuda":
            try:
                torch.cuda.synchronize(self.engine.device)
            except RuntimeError as error:
                pb_utils.Logger.log_error(f"vfnet_detector: the GPU can no longer be used from this process: {error}")
                os._exit(1)


def answer(outcome: Candidates | Exception) -> Any:
    """One image's response."""
    if isinstance(outcome, Exception):
        return internal_error(FAILED, outcome)
    names = ("CANDIDATE_BOXES", "CANDIDATE_SCORES", "CANDIDATE_LABELS")
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(name, values) for name, values in zip(names, outcome, strict=True)]
    )


def _keep_compiled_kernels() -> None:
    """Kernels that Triton's language compiles are found again by the next start."""
    if shared := os.environ.get("VFNET_CACHE_DIR"):
        os.environ.setdefault("TRITON_CACHE_DIR", str(Path(shared) / "triton"))
