"""The KubeRay job as far as it goes without a cluster: its command is one that `vfnet` takes."""

from __future__ import annotations

import argparse
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from vfnet.commands.batch import add_arguments

FOLDER = Path(__file__).parents[2] / "build" / "kuberay"
JOB: dict[str, Any] = yaml.safe_load((FOLDER / "rayjob.yaml").read_text(encoding="utf-8"))


def test_the_entrypoint_is_understood_and_writes_where_the_volume_is() -> None:
    program, name, *options = shlex.split(JOB["spec"]["entrypoint"])
    assert (program, name) == ("vfnet", "batch")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(options)
    assert (arguments.ray, arguments.actors) == ("auto", (1, 16))
    (head,) = JOB["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert arguments.output.is_relative_to(head["volumeMounts"][0]["mountPath"])


def test_actors_fit_on_the_most_workers_there_may_be() -> None:
    (group,) = JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    assert group["maxReplicas"] * int(worker["resources"]["requests"]["cpu"]) >= 16


def test_the_cluster_is_of_the_ray_that_was_tried() -> None:
    assert JOB["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert "FROM ${VFNET_IMAGE}" in dockerfile
