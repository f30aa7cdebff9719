"""The way of a new build to the public name of a model, and back.

It is built beside the repository, loaded beside what serves, asked and compared, and only then the name is turned to
it. Until that moment, whatever fails or is killed, the old one serves and the new one is taken away again: by this
command, by the server when it sees that the command is gone, and of the disk by the next command. After that moment the
same three carry it through.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from vfnet_client.model_names import MODEL, deployment_name
from vfnet_data.dataset import DetectionDataset
from vfnet_deploy.comparing import Comparison, Limits, compare
from vfnet_deploy.errors import DeployError, NoRoomError
from vfnet_deploy.running_server import RunningServer
from vfnet_model.free_memory import free_memory
from vfnet_model.manifest import Manifest
from vfnet_serve.deployments.wanted import (
    WANTED,
    DeployedBuild,
    DeploymentsFolder,
    ModelDeployments,
    Trial,
    Wanted,
)

_LOAD_SECONDS = 900.0
_TURN_SECONDS = 120.0
_LEAVE_SECONDS = 180.0
"""For what the old one was asked before."""
_MORE_THAN_NOW = 1.2
"""Times the memory of what serves, that a new one may take while it is loaded."""

Build = Callable[[Path], object]
"""Writes a built repository of the model into a folder."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class TrialRun:
    """A deployment that is loaded, compared, and not yet live."""

    server: RunningServer
    model: str
    live: str
    """Its ensemble in Triton: the public name."""
    candidate: str
    """The new one's."""
    comparison: Comparison

    @property
    def url(self) -> str:
        """Of Triton over gRPC."""
        return self.server.endpoints.grpc_url


TrialStep = Callable[[TrialRun], None]
"""Something to be done before the name is turned; it raises `DeployError` where that should not happen."""


@dataclass(frozen=True)
class DeployOptions:
    """What a person chooses."""

    model: str = MODEL
    images: Sequence[Path] = ()
    """To compare on; at least one."""
    dataset: DetectionDataset | None = None
    """Annotated images, for AP."""
    limits: Limits = field(default_factory=Limits)
    keep: bool = False
    """Whether the old one stays loaded."""
    beside: bool = False
    """Whether the name stays where it is: the new one is kept beside, to be asked by its own name."""
    spare_memory: int = 512 << 20
    """Bytes that have to be left of the machine's memory."""


def deploy(
    options: DeployOptions, server: RunningServer, build: Build, say: Say, trial_step: TrialStep | None = None
) -> str:
    """Replace what answers under a model's public name; the name of the new one's ensemble.

    Raises:
        DeployError, DeploymentsError: it did not happen, and the old one serves. Likewise what `build` raises.
    """
    folder, model = server.folder, options.model
    with folder.locked():
        repair(server, say)
        live = server.of_model(model).live
        wanted = folder.read()
        current = wanted.models.get(model) or _first(folder, model)
        if server.state().bases.get(model) != current.base:
            raise DeployError(f"{folder.repository} was built anew since the server was started: start it again first")
        number = 1 + max([current.last, *server.of_model(model).loaded])
        name = deployment_name(model, number)
        target = folder.build_folder(model, number)
        try:
            build(target)
            described = _described(target, model, number)
            with_build = replace(current, builds=(*current.builds, described), last=number)
            _check_memory(server, model, live, options.spare_memory, say)
            wanted = wanted.changed(model, with_build, Trial.of(model, number, os.getpid()))
            folder.write(wanted)
            _try_out(options, server, number, say, trial_step)
        except BaseException:
            _undo(server, folder, model, number, say)
            raise
        if options.beside:
            folder.write(wanted.changed(model, replace(with_build, kept=number), None))
            _await_turn(server, model, live, number)
            _tidy(folder)
            say(
                f"{name} is loaded beside {model}, and answers by that name; vfnet rollback {model} turns {model} to it"
            )
            return name
        turned = replace(with_build, live=number, kept=live if options.keep else None)
        folder.write(wanted.changed(model, turned, None))  # from here on it is carried through
        _await_turn(server, model, number, live if options.keep else None)
        _tidy(folder)
    kept = f"; {_shown(model, live)} is kept: vfnet rollback {model} goes back to it" if options.keep else ""
    say(f"deployed: {model} is {name}{kept}")
    return name


def rollback(model: str, server: RunningServer, say: Say) -> str:
    """Go back to the deployment that was kept; the name of its ensemble.

    Raises:
        DeployError, DeploymentsError: there is none, or it did not happen.
    """
    folder = server.folder
    with folder.locked():
        repair(server, say)
        server.of_model(model)
        wanted = folder.read()
        current = wanted.models.get(model)
        if current is None or current.kept is None:
            raise DeployError(
                f"nothing is kept of {model} to go back to: vfnet deploy --keep keeps what served; "
                "without, deploy its checkpoint again"
            )
        turned = replace(current, live=current.kept, kept=current.live)
        folder.write(wanted.changed(model, turned, None))
        _await_turn(server, model, turned.live, turned.kept)
    say(f"rolled back: {model} is {_shown(model, turned.live)}; {_shown(model, current.live)} is kept")
    return deployment_name(model, turned.live)


def forget_deployments(folder: DeploymentsFolder, model: str = MODEL) -> None:
    """Have a server that starts serve a model as its repository has it.

    Raises:
        DeploymentsError: another command is at work.
    """
    if not folder.path.is_dir():
        return
    with folder.locked():
        wanted = folder.read()
        if model in wanted.models:
            models = {name: each for name, each in wanted.models.items() if name != model}
            folder.write(Wanted(models, None, wanted.revision + 1))


def repair(server: RunningServer, say: Say) -> None:
    """Finish or undo what a killed command has left. To be called with the folder's lock held.

    Raises:
        DeployError: the server does not come to rest.
    """
    folder = server.folder
    wanted = folder.read()
    if wanted.trial is not None:
        model, number = wanted.trial.model, wanted.trial.number
        say(f"an earlier vfnet deploy of {deployment_name(model, number)} was killed: taking it away")
        _undo(server, folder, model, number, say)
        wanted = folder.read()
    for model, of_model in wanted.models.items():
        found = server.state().models.get(model)
        if found is None:
            continue
        if of_model.live in found.failed:  # its folder was removed, say: another one can still take its place
            say(f"{deployment_name(model, of_model.live)} cannot be served: {found.failed[of_model.live]}")
        else:
            _await_turn(server, model, of_model.live, of_model.kept)
    _tidy(folder)


def _try_out(
    options: DeployOptions, server: RunningServer, number: int, say: Say, trial_step: TrialStep | None
) -> None:
    """Load, ask, compare.

    Raises:
        DeployError: it is not to be turned to.
    """
    model, name = options.model, deployment_name(options.model, number)
    say(f"loading {name} beside what serves")
    found = server.wait(
        model, lambda state: number in state.loaded or number in state.failed, _LOAD_SECONDS, f"{name} was loaded"
    )
    if number in found.failed:
        raise DeployError(f"{name} cannot be served: {found.failed[number]}")
    if (taken := server.memory_of(model, number)) > 0:
        say(f"{name} takes {_gib(taken)}; {_gib(free_memory())} are free")
    comparison = compare(server.endpoints.grpc_url, model, name, options.images, options.dataset)
    say(str(comparison))
    options.limits.check(comparison)
    if trial_step is not None:
        trial_step(TrialRun(server, model, model, name, comparison))


def _check_memory(server: RunningServer, model: str, live: int, spare: int, say: Say) -> None:
    """
    Raises:
        NoRoomError: both do not fit.
    """
    needed, free = round(_MORE_THAN_NOW * server.memory_of(model, live)), free_memory()
    if needed + spare > free:
        raise NoRoomError(
            f"a second one beside {model} may take {_gib(needed)}, {_gib(free)} are free, and --spare-memory keeps "
            f"{_gib(spare)} of them: free some, or change --spare-memory"
        )
    say(f"it may take {_gib(needed)}, as what serves does; {_gib(free)} are free")


def _first(folder: DeploymentsFolder, model: str) -> ModelDeployments:
    base = folder.base(model)
    if base is None:
        raise DeployError(f"{folder.repository} holds no model {model} that vfnet build has written")
    return ModelDeployments(base)


def _described(target: Path, model: str, number: int) -> DeployedBuild:
    manifest = Manifest.read(target, model)
    if manifest is None:
        raise DeployError(f"{target} was not written by this version of vfnet build")
    options, now = manifest.options, datetime.now(UTC).isoformat(timespec="seconds")
    return DeployedBuild(number, manifest.checkpoint, options.engine, options.precision, now)


def _undo(server: RunningServer, folder: DeploymentsFolder, model: str, number: int, say: Say) -> None:
    """Have a deployment that is not live unloaded, and remove it."""
    wanted = folder.read()
    current = wanted.models.get(model)
    if current is not None and current.build(number) is not None and current.live != number:
        builds = tuple(build for build in current.builds if build.number != number)
        folder.write(wanted.changed(model, replace(current, builds=builds), None))
        try:
            server.wait(
                model,
                lambda state: number not in (*state.loaded, *state.leaving, *state.failed),
                _LEAVE_SECONDS,
                f"{deployment_name(model, number)} was gone",
            )
        except DeployError as error:
            say(str(error))
    _tidy(folder)


def _await_turn(server: RunningServer, model: str, live: int, kept: int | None) -> None:
    """Until only these are loaded, and the one answers: what others were asked before is answered."""
    server.wait(model, lambda state: state.live == live, _TURN_SECONDS, f"{model} was turned")
    wanted = {live} if kept is None else {live, kept}
    server.wait(
        model,
        lambda state: set(state.loaded) <= wanted and not state.leaving,
        _LEAVE_SECONDS,
        "the old one had finished",
    )


def _tidy(folder: DeploymentsFolder) -> None:
    """Remove from the list and the disk what is neither live nor kept nor on trial."""
    wanted = folder.read()
    models = {
        model: replace(each, builds=tuple(build for build in each.builds if build.number in (each.live, each.kept)))
        for model, each in wanted.models.items()
    }
    if models != dict(wanted.models) or wanted.trial is not None:
        folder.write(Wanted(models, None, wanted.revision + 1))
    needed = {WANTED, ".lock"}
    needed |= {deployment_name(model, build.number) for model, each in models.items() for build in each.builds}
    for path in folder.path.iterdir():
        if path.name in needed:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _shown(model: str, number: int) -> str:
    return deployment_name(model, number) if number > 1 else f"the {model} of the repository"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
