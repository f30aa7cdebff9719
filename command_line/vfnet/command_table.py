"""What `vfnet` can do where the whole project is installed, grouped by what a person wants."""

from __future__ import annotations

from vfnet_client.cli import Subcommand

COMMANDS = {
    "up": Subcommand(
        "vfnet.commands.up", "build what is missing and serve in the background", "serve", "build,gateway,serve"
    ),
    "down": Subcommand("vfnet.commands.down", "stop what `up` started", "serve", "serve"),
    "logs": Subcommand("vfnet.commands.logs", "show the log of what `up` started", "serve", "serve"),
    "build": Subcommand("vfnet.commands.build", "turn a checkpoint into a model repository", "serve", "build"),
    "convert": Subcommand("vfnet.commands.convert", "write a checkpoint as safetensors, or back", "serve", "build"),
    "mlflow": Subcommand(
        "vfnet.commands.mlflow", "turn a checkpoint into a model folder that MLflow serves", "serve", "build"
    ),
    "serve": Subcommand("vfnet.commands.serve", "run Triton on a model repository, and watch it", "serve", "serve"),
    "gateway": Subcommand("vfnet.commands.gateway", "answer POST /score in front of Triton", "serve", "gateway"),
    "traffic": Subcommand(
        "vfnet.commands.traffic", "share requests out between deployments of a model", "serve", "gateway,serve"
    ),
    "canary": Subcommand(
        "vfnet.commands.canary",
        "try a deployment on a growing share, and take it back if it does worse",
        "serve",
        "gateway,serve",
    ),
    "deploy": Subcommand(
        "vfnet.commands.deploy",
        "replace the model that serves, without a lost request",
        "serve",
        "build,gateway,serve,train",
    ),
    "rollback": Subcommand(
        "vfnet.commands.rollback", "go back to the model that was kept", "serve", "build,serve,train"
    ),
    "deployments": Subcommand(
        "vfnet.commands.deployments", "list what a server has loaded", "serve", "build,serve,train"
    ),
    "receive": Subcommand(
        "vfnet.commands.receive", "take checkpoints that `deploy --server` sends", "serve", "build,gateway,serve,train"
    ),
    "batch": Subcommand(
        "vfnet.commands.batch", "score very many images, restartable, also on a cluster", "detect", "batch"
    ),
    "captured": Subcommand(
        "vfnet.commands.captured", "list, export or forget the images that a gateway has kept", "train", "gateway"
    ),
    "finetune": Subcommand(
        "vfnet.commands.finetune", "train a checkpoint on your own annotated images", "train", "build,train"
    ),
    "sweep": Subcommand(
        "vfnet.commands.sweep", "train with several settings, and keep the best", "train", "build,sweep,train"
    ),
    "evaluate": Subcommand(
        "vfnet.commands.evaluate",
        "score a server or a checkpoint as COCO does, or compare two",
        "measure",
        "build,train",
    ),
    "drift": Subcommand(
        "vfnet.commands.drift", "compare the images and detections of now with those of then", "measure", "drift"
    ),
    "bench": Subcommand("vfnet_bench.command", "measure speed: `vfnet bench` lists what", "measure", "bench"),
}
"""By the word that is typed."""
