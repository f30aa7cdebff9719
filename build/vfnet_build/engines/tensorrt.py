"""VFNet -> a TensorRT plan (`model.plan`), built on the GPU and with the TensorRT that will serve it.

Written against TensorRT 10's and 11's Python API and not run by us. What it reads, the ONNX file, is checked against
MMDetection by ONNX Runtime.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vfnet_build.engine_names import ENGINE_PRECISIONS
from vfnet_build.engines.onnx import export_detector
from vfnet_build.repository import EngineError
from vfnet_runtime.architecture.padding import default_canvases
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.canvases import canvas_for

PRECISIONS = ENGINE_PRECISIONS["tensorrt"]
MAX_BATCH_SIZE = 8
"""As in `configs/tensorrt.pbtxt`."""


def check_available() -> None:
    """Before any long work.

    Raises:
        EngineError: there is no TensorRT or no GPU here.
    """
    if find_spec("tensorrt") is None:
        raise EngineError(
            "a TensorRT plan is built where it serves, by the TensorRT that serves it: run this in NVIDIA's Triton "
            "server image, with its TensorRT's version of the package `tensorrt` installed (pip install tensorrt==…)"
        )
    import torch

    if not torch.cuda.is_available():
        raise EngineError("a TensorRT plan is built on the kind of GPU that serves it, and there is none here")


def export(network: VFNet, directory: Path, precision: str) -> None:
    """Write `model.plan`: the ONNX file's network on any of the default canvases.

    Raises:
        EngineError: TensorRT does not read the file or cannot build the plan; its own words follow.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "network.onnx"
        export_detector(network, source, precision)
        plan = build_plan(source, canvases_of(network), precision)
    (directory / "model.plan").write_bytes(plan)


def canvases_of(network: VFNet) -> list[tuple[int, int]]:
    """Heights and widths of the canvases that the plan is built for, the smallest first."""
    pairs = [text.split("x") for text in default_canvases(network.config.preprocess.img_scale).split(",")]
    return [(int(height), int(width)) for height, width in pairs]


def build_plan(source: Path, canvases: list[tuple[int, int]], precision: str) -> bytes:
    """An ONNX file -> a serialised plan, with one optimisation profile that all canvases and batch sizes fit into.

    A profile for each canvas would take as much memory each.
    """
    trt: Any = import_module("tensorrt")
    logger = _logger(trt)
    trt.init_libnvinfer_plugins(logger, "")  # DeformConv is one of its plugins
    builder = trt.Builder(logger)
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(source)):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} does not read the network: {reasons}")
    config = builder.create_builder_config()
    if precision == "f32":
        config.clear_flag(trt.BuilderFlag.TF32)  # set unless cleared: it rounds to 10 bits what is multiplied
    heights, widths = zip(*canvases, strict=True)
    profile = builder.create_optimization_profile()
    least, usual, most = (min(heights), min(widths)), canvases[-1], (max(heights), max(widths))
    profile.set_shape("PIXELS", (1, *least, 3), (MAX_BATCH_SIZE, *usual, 3), (MAX_BATCH_SIZE, *most, 3))
    profile.set_shape("VALID_SHAPE", (1, 2), (MAX_BATCH_SIZE, 2), (MAX_BATCH_SIZE, 2))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT {trt.__version__} could not build the plan: see its messages above")
    return bytes(plan)


def _strongly_typed(trt: Any) -> int:
    """Types are those of the file. TensorRT 10 must be told; from 11 on it is always so."""
    if int(trt.__version__.split(".")[0]) >= 11:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """TensorRT's warnings and errors, on stderr."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                print(f"TensorRT: {message}", file=sys.stderr, flush=True)

    return Log()


class Plan:
    """A plan, run here: to check it before it is accepted."""

    def __init__(self, serialised: bytes, canvases: list[tuple[int, int]]) -> None:
        """Load; `canvases` as it was built for."""
        trt: Any = import_module("tensorrt")
        logger = _logger(trt)
        trt.init_libnvinfer_plugins(logger, "")
        self.canvases = canvases
        self.engine = trt.Runtime(logger).deserialize_cuda_engine(serialised)
        if self.engine is None:
            raise EngineError("TensorRT cannot load the plan that it built: see its messages above")
        self.context = self.engine.create_execution_context()

    def candidates(self, pixels: Any, valid_shape: Any) -> tuple[Any, Any, Any]:
        """One image on its own canvas, uint8 [1, H, W, 3] and int32 [1, 2] -> `vfnet_detector`'s outputs for it."""
        import torch

        height, width = pixels.shape[1:3]
        canvas = canvas_for(height, width, tuple(self.canvases))
        on_canvas = torch.zeros((1, *canvas, 3), dtype=torch.uint8, device="cuda")
        on_canvas[:, :height, :width] = torch.from_numpy(pixels).cuda()
        tensors = {"PIXELS": on_canvas, "VALID_SHAPE": torch.from_numpy(valid_shape).cuda()}
        stream = torch.cuda.current_stream()
        for name, tensor in tensors.items():
            self.context.set_input_shape(name, tuple(tensor.shape))
        outputs = {}
        for name, dtype in (
            ("CANDIDATE_BOXES", torch.float32),
            ("CANDIDATE_SCORES", torch.float32),
            ("CANDIDATE_LABELS", torch.int32),
        ):
            outputs[name] = torch.empty(tuple(self.context.get_tensor_shape(name)), dtype=dtype, device="cuda")
        for name, tensor in (tensors | outputs).items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        if not self.context.execute_async_v3(stream.cuda_stream):
            raise EngineError("TensorRT could not run the plan: see its messages above")
        stream.synchronize()
        boxes, scores, labels = (tensor[0].cpu().numpy() for tensor in outputs.values())
        return boxes, scores, labels
