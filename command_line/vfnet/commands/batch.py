"""`vfnet batch`: very many images to files of rows, restartable, on one machine or with Ray on many."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet_batch.errors import BatchError
from vfnet_batch.fetch_settings import FetchSettings
from vfnet_batch.settings import BatchSettings, ServerSettings
from vfnet_client.commands.options import (
    add_detection_options,
    add_server_options,
    at_least_one,
    credentials_from,
    fraction,
    seconds,
)
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_client.model_names import MODEL
from vfnet_client.safe_text import printable_lines
from vfnet_client.transport import DEFAULT_SERVER

if TYPE_CHECKING:  # what is imported when it is used
    from vfnet.own_server import OwnServer
    from vfnet_batch.batch import Batch
    from vfnet_batch.ray_runner.detectors import DetectorRecipe


PARSER = SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet batch`."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder (all below it), a glob pattern, a table (.csv, .tsv), a list (.txt), AutoML .jsonl, COCO .json, "
        "or a URL of an object store (s3://, gs://, abfs://, http://)",
    )
    add_options(parser, BatchSettings, "output", "format")
    parser.add_argument("--draw", action="store_true", help="write annotated pictures, too")
    parser.add_argument(
        "--draw-threshold",
        metavar="T",
        type=fraction,
        default=0.5,
        help="of the boxes drawn (default: %(default)s); rows have all",
    )
    add_detection_options(parser)
    add_options(parser, BatchSettings, "images", "column", "skip_invalid")
    parser.add_argument(
        "--allow-urls-to",
        action="append",
        default=[],
        metavar="NETWORK|HOST",
        help="fetch images by URL from there although it is not public; may be repeated. INPUT's own host is allowed",
    )
    parser.add_argument(
        "--allow-schemes",
        action="extend",
        nargs="+",
        default=[],
        metavar="SCHEME",
        help="let lists and tables name images by such URLs (s3, gs, abfs, ...) beside http and https; with fsspec's "
        "drivers, and your credentials",
    )
    add_options(parser, BatchSettings, "concurrency")
    parser.add_argument(
        "--shard-images", metavar="N", type=at_least_one, help="of one file (default: 1000; with --ray 200)"
    )
    add_options(parser, BatchSettings, "shard_seconds")
    add_options(parser, ServerSettings, "patience")
    add_options(parser, BatchSettings, "log_format")
    served = parser.add_mutually_exclusive_group()
    served.add_argument("--checkpoint", metavar="FILE|URL|coco|demo", help="build and serve this for the batch alone")
    served.add_argument(
        "--repository", type=Path, metavar="DIR", help="serve what vfnet build wrote, for the batch alone"
    )
    _add_ray_options(parser.add_argument_group("on a Ray cluster"))
    add_server_options(parser, retries=3)
    parser.epilog = (
        "An image that cannot be read is a row that says why. Stopped or killed, the same command goes on. "
        "Exit code: 0 when every image has its row, 1 when it could not go on, 130 or 143 after a signal."
    )


def _add_ray_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="score with Ray Data on this cluster: host:port, auto for the one this runs in, local for a new one. Its "
        "actors ask --server, or hold the network of --repository (OpenVINO) or --checkpoint (torch) themselves",
    )
    group.add_argument(
        "--actors", metavar="MIN:MAX", type=_range, default=(1, 4), help="how far the pool shrinks and grows (1:4)"
    )
    group.add_argument("--actor-cpus", metavar="N", type=seconds, default=1.0, help="of each actor (default: 1)")
    group.add_argument("--actor-gpus", metavar="N", type=float, default=0.0, help="of each actor (default: 0)")


def _range(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    numbers = at_least_one(least), at_least_one(most or least)
    if numbers[0] > numbers[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 1:4")
    return numbers


def run(arguments: argparse.Namespace) -> int:
    """Score and print the summary."""
    from vfnet_batch.batch import opened_batch

    served = _own_server(arguments)
    with opened_batch(_settings(arguments), lambda: _identify(arguments, served)) as batch:
        if batch.todo:
            _score(batch, arguments, served)
        if not batch.is_finished:
            batch.finish()
        _report(batch)
    return 0


def _score(batch: Batch, arguments: argparse.Namespace, served: OwnServer | None) -> None:
    servers = settings_from(
        ServerSettings,
        arguments,
        urls=tuple(arguments.server or [DEFAULT_SERVER]),
        credentials=credentials_from(arguments),
        model=arguments.model,
    )
    if arguments.ray is not None:
        from vfnet_batch.ray_runner.runner import ClusterSettings, score_on_ray

        least, most = arguments.actors
        cluster = ClusterSettings(arguments.ray, least, most, arguments.actor_cpus, arguments.actor_gpus)
        score_on_ray(batch, cluster, _recipe(arguments, servers))
        return
    from vfnet_batch.local_runner import score_plainly

    if served is None:
        score_plainly(batch, servers)
        return
    batch.progress.say("starting a server")
    with served.running() as url:
        score_plainly(batch, replace(servers, urls=(url,)), served.ending)


def _recipe(arguments: argparse.Namespace, servers: ServerSettings) -> DetectorRecipe:
    from vfnet_batch.local_runner import check_servers
    from vfnet_batch.ray_runner.detectors import AskServers, HoldCheckpoint, HoldRepository

    if arguments.checkpoint is not None:
        return HoldCheckpoint(arguments.checkpoint)
    if arguments.repository is not None:
        return HoldRepository(
            arguments.repository.absolute(), max(1, int(arguments.actor_cpus)), arguments.model or MODEL
        )
    check_servers(servers)
    return AskServers(servers)


def _identify(arguments: argparse.Namespace, served: OwnServer | None) -> str | None:
    """What identifies the model, where that is known; a server of our own is built for it."""
    if served is None:
        return None
    if arguments.ray is None:
        return served.prepare()
    from vfnet.own_server import checkpoint_model, repository_model

    if served.repository is None:
        return checkpoint_model(str(served.checkpoint))
    return repository_model(served.repository, served.model)


def _settings(arguments: argparse.Namespace) -> BatchSettings:
    return settings_from(
        BatchSettings,
        arguments,
        draw_threshold=arguments.draw_threshold if arguments.draw else None,
        shard_images=arguments.shard_images or (1000 if arguments.ray is None else 200),
        fetching=_fetching(arguments),
    )


def _fetching(arguments: argparse.Namespace) -> FetchSettings:
    try:
        return FetchSettings.chosen(arguments.input, arguments.allow_urls_to, arguments.allow_schemes)
    except ValueError as error:
        raise BatchError(str(error)) from error


def _own_server(arguments: argparse.Namespace) -> OwnServer | None:
    if arguments.checkpoint is None and arguments.repository is None:
        return None
    model = arguments.model or MODEL
    if arguments.checkpoint is not None and model != MODEL:
        raise BatchError("--model chooses one of a server's or a repository's models, and --checkpoint is one alone")
    from vfnet.own_server import OwnServer

    return OwnServer(arguments.output / "server", arguments.checkpoint, arguments.repository, model=model)


def _report(batch: Batch) -> None:
    print(printable_lines(batch.tally.to_text()))
    if batch.progress.advanced:
        rate = batch.progress.advanced / batch.progress.seconds
        print(f"{batch.progress.advanced} of them in {batch.progress.seconds:.1f} s now, {rate:.3g} images/s")
    else:
        print("nothing was left to do")
    for note, number in batch.notes.items():
        print(f"{number} x {note}")
    for path in batch.written or [batch.output.shards]:
        print(printable_lines(str(path)))
