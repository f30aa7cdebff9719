"""`vfnet bench NAME`: every benchmark, by name."""

from __future__ import annotations

import argparse
import sys

from vfnet_client.cli import EXIT_USAGE, Subcommand, run_command

BENCHMARKS = {
    name: Subcommand(f"vfnet_bench.commands.{name}", help, "measure", "bench,load")
    for name, help in {
        "network": "the served detector against the bare network and others that detect",
        "scales": "seconds and AP against the scale images are resized to",
        "zoo": "every network of MMDetection's configs/vfnet, served and in MMDetection",
        "overload": "a server asked for more than it can do",
        "sharing": "two models of different weight that are both asked for more than they can do",
        "deploy": "a model that is replaced under load, and at ten times the capacity",
        "mixed": "photos of many shapes at once",
        "gateway": "the gateway against direct gRPC",
        "tracing": "what traces cost, by how many requests are traced",
        "servers": "several servers behind a gateway, and one of them killed or stopped",
        "scaling": "a simulated day, burst and lost zone under the Helm chart's scaling rule",
        "batch": "a batch against the server's best",
        "growth": "images/s and memory against size, concurrency, detections",
        "training": "a training step against MMDetection's",
        "gpu": "the torch engine on a GPU",
        "instances": "how long a GPU would wait between batches, with a clock in its place",
        "alerts": "real faults, and what a real Prometheus rings of them",
        "decoding": "what decoding and resizing an image takes, and the cores a GPU wants for it",
        "kernels": "what the compiler makes of the GPU's kernels, without one",
    }.items()
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench`: a name, and that benchmark's own."""
    width = max(map(len, BENCHMARKS))
    parser.usage = "vfnet bench NAME ..."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    listing = "\n".join(f"  {name:<{width}}  {each.help}" for name, each in BENCHMARKS.items())
    parser.epilog = f"names:\n{listing}\n\n`vfnet bench NAME --help` says more."
    parser.add_argument("name", nargs="?", choices=list(BENCHMARKS), metavar="NAME", help=argparse.SUPPRESS)
    parser.set_defaults(listing=parser.format_help())
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark that is named; its exit code."""
    name = arguments.name
    if name is None:
        print(arguments.listing, end="", file=sys.stderr)
        return EXIT_USAGE
    return run_command(f"vfnet bench {name}", BENCHMARKS[name], arguments.options)
