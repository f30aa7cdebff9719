"""`vfnet_detector` in PyTorch, on a GPU or a CPU: see configs/torch.pbtxt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils

from vfnet_runtime.engines.torch_engine import Candidates, Image, TorchEngine
from vfnet_runtime.triton_models.detector_requests import FAILED, DecoupledDetector, ReceivedImage
from vfnet_runtime.triton_models.gpu_instances import GpuRecords, said_of_gpu
from vfnet_runtime.triton_models.responses import internal_error


class TritonPythonModel(DecoupledDetector):
    """Pixels -> candidates, a batch of any sizes at a time, on the device of this instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network that `vfnet build` wrote, with the parameters it wrote."""
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        on_gpu = args["model_instance_kind"] == "GPU"
        _keep_compiled_kernels()
        network = Path(args["model_repository"]) / args["model_version"] / "network.pt"
        precision, canvases = parameters["inference_precision"], parameters["canvases"]
        batch_sizes = tuple(int(size) for size in parameters["batch_sizes"].split(","))
        self.gpu_records = GpuRecords.of_this_server()
        if on_gpu:
            number = int(args["model_instance_device_id"])
            with said_of_gpu(number, has_neighbour=False):
                gpu = str(torch.cuda.get_device_properties(number).uuid)
            is_shared = self.gpu_records.note(gpu, args["model_instance_name"])
            with said_of_gpu(number, has_neighbour=is_shared):
                # Beside another of ours, which will go, a few batch sizes would be given up for good.
                self.engine = TorchEngine(
                    network, f"cuda:{number}", precision, canvases, batch_sizes, all_sizes=is_shared
                )
        else:
            self.engine = TorchEngine(network, "cpu", precision, canvases, batch_sizes)
        self.receive_with(config, parameters, takes_stored=True)
        self.received.export_spans(self.engine.description)
        for warning in self.engine.warnings:
            pb_utils.Logger.log_warn(f"{config['name']}: {warning}")
        pb_utils.Logger.log_info(f"{config['name']}: {self.engine.description}")

    def execute(self, requests: list[Any]) -> None:
        """Answer each request as soon as its batch is done; return when all are."""
        images = self.begin(requests)

        def timed(position: int, started: int, ended: int) -> None:
            images[position].was_computed(started, ended)

        for position, outcome in self.engine.detect(_of_engine(images), timed):
            self.respond(images[position], answer(outcome, images[position].request))
        self.received.end()
        self.give_up_if_broken()

    def give_up_if_broken(self) -> None:
        """After some errors CUDA answers nothing more in this process; `vfnet serve` starts another in its place."""
        if self.engine.device.type == "cuda":
            try:
                torch.cuda.synchronize(self.engine.device)
            except RuntimeError as error:
                pb_utils.Logger.log_error(f"the GPU can no longer be used from this process: {error}")
                os._exit(1)

    def finalize(self) -> None:
        """Leave the count."""
        self.gpu_records.forget()
        self.received.close()


def _of_engine(images: list[ReceivedImage]) -> list[Image]:
    return [Image(image.pixels, image.valid_shape, image.is_stored) for image in images]


def answer(outcome: Candidates | Exception, request: Any) -> Any:
    """One image's response."""
    if isinstance(outcome, Exception):
        return internal_error(FAILED, outcome, request)
    names = ("CANDIDATE_BOXES", "CANDIDATE_SCORES", "CANDIDATE_LABELS")
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(name, values) for name, values in zip(names, outcome, strict=True)]
    )


def _keep_compiled_kernels() -> None:
    """Kernels that Triton's language compiles are found again by the next start."""
    if shared := os.environ.get("VFNET_CACHE_DIR"):
        os.environ.setdefault("TRITON_CACHE_DIR", str(Path(shared) / "triton"))
