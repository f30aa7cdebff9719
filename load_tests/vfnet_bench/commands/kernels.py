"""`vfnet bench kernels`: what the compiler makes of the GPU's kernels on every architecture; needs no GPU."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from vfnet_bench.options import add_json_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table

PRECISIONS = ("fp16", "bf16", "f32")
_SHORT = {"mma.sync": "mma", "wgmma.mma_async": "wgmma", "tcgen05.mma": "tcgen05"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench kernels`."""
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=["fp16"], metavar="NAME",
        help="of fp16, bf16, f32 (default: fp16)",
    )  # fmt: skip
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compile and print a table for each precision."""
    from vfnet_bench.gpu.compiled_kernels import ARCHITECTURES, cases, compile_case, resources

    say = Progress("kernels").say
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for precision in arguments.precisions:
        kernels: dict[str, dict[str, Any]] = found.setdefault(precision, {})
        for capability in ARCHITECTURES:
            name = "{}.{}".format(*capability)
            for case in cases(capability, precision):
                measured = resources(compile_case(case, capability))
                kernels.setdefault(case.name, {})[name] = dataclasses.asdict(measured)
            say(f"{precision}: compiled for {name}")
    heads = {"{}.{}".format(*capability): cards for capability, cards in ARCHITECTURES.items()}
    tables = [_table(precision, kernels, heads) for precision, kernels in found.items()]
    publish("\n\n".join(tables), found, arguments.json)
    return 0


def _table(precision: str, kernels: dict[str, dict[str, Any]], heads: dict[str, str]) -> str:
    rows = [(kernel, *(_cell(by.get(name)) for name in heads)) for kernel, by in kernels.items()]
    head = (f"{precision}: kernel", *(f"{name} ({cards})" for name, cards in heads.items()))
    return table(head, rows, words=range(len(head)))


def _cell(values: dict[str, Any] | None) -> str:
    """Registers, bytes spilled, KiB of shared memory, matrix instructions."""
    if values is None:
        return ""
    text = f"{values['registers']} / {values['stack']} / {values['shared'] / 1024:.0f}"
    count, kind = values["matrix_instructions"], values["matrix_instruction"]
    return f"{text} / {count} {_SHORT[kind]}" if count else text
