"""`vfnet batch`: very many images to files of rows, restartable, on one machine or with Ray on many."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet_batch.batch import Batch, opened_batch
from vfnet_batch.errors import InterruptedBatchError
from vfnet_batch.settings import FORMATS, BatchSettings, ServerSettings
from vfnet_client.commands.options import add_server_options, at_least_one, credentials_from, fraction, seconds

if TYPE_CHECKING:  # it needs the extras build and serve
    from vfnet_batch.own_server import OwnServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet batch`."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder (all below it), a glob pattern, a table (.csv, .tsv), a list (.txt), AutoML .jsonl, COCO .json, "
        "or a URL of an object store (s3://, gs://, abfs://, http://)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="a new folder, or this batch's own to go on"
    )
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of the output (default: %(default)s)")
    parser.add_argument("--draw", action="store_true", help="write annotated pictures, too")
    parser.add_argument("--threshold", metavar="T", type=fraction, help="only boxes that score higher")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the images of a list or annotations are, if not near it"
    )
    parser.add_argument("--column", metavar="NAME", help="of a table: the one that names the images (default: image)")
    parser.add_argument(
        "--concurrency", metavar="N", type=at_least_one, default=16, help="images in flight (default: %(default)s)"
    )
    parser.add_argument(
        "--shard-images", metavar="N", type=at_least_one, help="of one file (default: 1000; with --ray 200)"
    )
    parser.add_argument(
        "--shard-seconds",
        metavar="SECONDS",
        type=seconds,
        default=30.0,
        help="a file is finished after so long, however few it holds (default: %(default)g)",
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="how long to wait for servers that went away (default: %(default)g)",
    )
    served = parser.add_mutually_exclusive_group()
    served.add_argument("--checkpoint", metavar="FILE|URL|coco|demo", help="build and serve this for the batch alone")
    served.add_argument(
        "--repository", type=Path, metavar="DIR", help="serve what vfnet build wrote, for the batch alone"
    )
    add_server_options(parser, several=True)
    parser.epilog = (
        "An image that cannot be read is a row that says why. Stopped or killed, the same command goes on. "
        "Exit code: 0 when every image has its row, 1 when it could not go on, 130 or 143 after a signal."
    )


def run(arguments: argparse.Namespace) -> int:
    """Score and print the summary."""
    served = _own_server(arguments)
    try:
        with opened_batch(_settings(arguments), served.prepare if served else lambda: None) as batch:
            if batch.todo:
                _score(batch, arguments, served)
                batch.finish()
            _report(batch)
    except InterruptedBatchError as error:
        print(f"vfnet batch: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _score(batch: Batch, arguments: argparse.Namespace, served: OwnServer | None) -> None:
    from vfnet_batch.plain_route import score_plainly

    servers = ServerSettings(
        tuple(arguments.server),
        arguments.timeout,
        arguments.retries,
        arguments.patience,
        credentials_from(arguments),
    )
    if served is None:
        score_plainly(batch, servers)
        return
    batch.progress.say("starting a server")
    with served.running() as url:
        score_plainly(batch, replace(servers, urls=(url,)))


def _settings(arguments: argparse.Namespace) -> BatchSettings:
    return BatchSettings(
        input=arguments.input,
        output=arguments.output,
        images=arguments.images,
        column=arguments.column,
        format=arguments.format,
        draw=arguments.draw,
        score_threshold=arguments.threshold,
        concurrency=arguments.concurrency,
        shard_images=arguments.shard_images or 1000,
        shard_seconds=arguments.shard_seconds,
    )


def _own_server(arguments: argparse.Namespace) -> OwnServer | None:
    if arguments.checkpoint is None and arguments.repository is None:
        return None
    from vfnet_batch.own_server import OwnServer

    return OwnServer(arguments.output / "server", arguments.checkpoint, arguments.repository)


def _report(batch: Batch) -> None:
    print(batch.tally.to_text())
    if batch.progress.images:
        rate = batch.progress.images / batch.progress.seconds
        print(f"{batch.progress.images} of them in {batch.progress.seconds:.1f} s now, {rate:.3g} images/s")
    else:
        print("nothing was left to do")
    for path in batch.written or [batch.output.shards]:
        print(path)
