"""An operation of an OpenVINO network that is computed by the library."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray


class Kernel(Protocol):
    """What computes one layer, with the layer's weights."""

    def __call__(self, inputs: Sequence[NDArray[Any]], output: NDArray[Any]) -> None:
        """Write `output`, float32. Raises MemoryError: memory is short."""


class KernelOperation(ov.Op):  # type: ignore[misc]
    """Float32 in, one float32 out. A class of its own for each kind has `class_type_info` and `output_shape`."""

    class_type_info: ov.DiscreteTypeInfo

    def __init__(
        self, inputs: list[Any] | None = None, kernel: Any = None, copies: list[KernelOperation] | None = None
    ) -> None:
        super().__init__(self)
        self.kernel = kernel
        self._copies = [] if copies is None else copies
        """All that OpenVINO made of one operation, and itself."""
        self._copies.append(self)
        self._for_shapes: dict[int, Self] = {}
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    @abstractmethod
    def output_shape(self, inputs: Sequence[Any]) -> list[Any]:
        """Of inputs with these shapes, whose dimensions are numbers or OpenVINO's."""

    def validate_and_infer_types(self) -> None:
        """See `output_shape`."""
        shapes = [self.get_input_partial_shape(index) for index in range(self.get_input_size())]
        self.set_output_type(0, ov.Type.f32, ov.PartialShape(self.output_shape(shapes)))

    def clone_with_new_inputs(self, new_inputs: list[Any]) -> Self:
        """The same kernel on other inputs.

        For every inference OpenVINO wants a copy whose inputs are parameters and constants, only to ask it for its
        shape, and never frees it (2026.4; 10 kB each). So a thread gets the same one again. Within a network one of the
        inputs always is something else.
        """
        if any(value.get_node().get_type_name() not in ("Parameter", "Constant") for value in new_inputs):
            return type(self)(new_inputs, self.kernel, self._copies)
        thread = threading.get_ident()
        if thread in self._for_shapes:
            self._for_shapes[thread].set_arguments(new_inputs)
        else:
            self._for_shapes[thread] = type(self)(new_inputs, self.kernel, self._copies)
        return self._for_shapes[thread]

    def release(self) -> None:
        """Let go of the weights and of the network around it and its copies, none of which computes ever again.

        OpenVINO (2026.4) never frees an operation that is written in Python, nor all the layers before it.
        """
        for operation in self._copies:
            operation.kernel = None
            operation._for_shapes.clear()
            operation.set_arguments([])
        self._copies.clear()

    def get_type_info(self) -> ov.DiscreteTypeInfo:
        """OpenVINO's name of this operation."""
        return type(self).class_type_info

    def visit_attributes(self, visitor: Any) -> bool:
        """Nothing that could be written into a file; but which kernel it is: OpenVINO (2026.4) makes one of two
        operations whose inputs and attributes are equal."""
        visitor.on_attributes({"kernel": str(id(self.kernel))})
        return True

    def has_evaluate(self) -> bool:
        """It computes."""
        return True

    def evaluate(self, outputs: list[ov.Tensor], inputs: list[ov.Tensor]) -> bool:
        """Called by OpenVINO for each inference."""
        arrays = [tensor.data for tensor in inputs]
        outputs[0].shape = self.output_shape([array.shape for array in arrays])
        self.kernel(arrays, outputs[0].data)
        return True


def kernel_operations(model: ov.Model) -> list[KernelOperation]:
    """Those of a model, as they were put in."""
    return [node for node in model.get_ops() if isinstance(node, KernelOperation)]


def constant(node: Any) -> NDArray[Any] | None:
    """The values of a constant, through what only converts it; None where it is computed."""
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32) if node.get_type_name() == "Constant" else None
