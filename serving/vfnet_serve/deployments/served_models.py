"""What one `vfnet serve` serves: deployments of models, and which of a model's answers under its public name.

Triton has the steps of every deployment that is loaded, an ensemble for each that lies beside the repository, and the
public ensembles, whose steps are those of the live deployments.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from vfnet_client.model_names import EnsembleNames, deployment_name
from vfnet_model.model_renaming import rename_models
from vfnet_serve.adapted_repository import ServedBuild, is_complete, read_configs, write_adapted
from vfnet_serve.deployments.wanted import DeploymentsFolder, Wanted
from vfnet_serve.installation import ServerError
from vfnet_serve.machine import Machine
from vfnet_serve.serving_settings import ON_GPUS, GivenSettings, ServingSettings, choose_settings


@dataclass(frozen=True)
class ServedDeployment:
    """One built model under the names that it has in Triton."""

    model: str
    number: int
    build: ServedBuild
    configs: Mapping[str, ModelConfig]
    """Of its steps and its ensemble, by Triton's name; changed by whoever adjusts them."""
    settings: ServingSettings
    gpus: int = 0
    """Of the machine."""

    @property
    def names(self) -> EnsembleNames:
        """In Triton."""
        return EnsembleNames(deployment_name(self.model, self.number))

    def loads(self) -> tuple[str, ...]:
        """What Triton loads for it beside the public ensemble, in an order in which that works."""
        names = self.names
        return names.steps if self.number == 1 else (*names.steps, names.ensemble)

    def processes(self) -> dict[str, int]:
        """How many processes Triton starts for each step."""
        return {
            step: sum(self._instances(group) for group in self.configs[step].instance_group)
            for step in self.names.steps
            if self.configs[step].backend == "python"
        }

    def _instances(self, group: ModelInstanceGroup) -> int:
        on_each = len(group.gpus) or self.gpus if group.kind in ON_GPUS else 1
        return int(max(1, group.count) * max(1, on_each))

    def lay_out(self, target: Path) -> None:
        """Write what Triton reads of it into the folder `target`."""
        built_as = dict(zip(self.names.all, EnsembleNames(self.model).all, strict=True))
        configs = {name: self.configs[name] for name in self.loads()}
        write_adapted(self.build.repository, configs, target, built_as)

    def lay_out_public(self, target: Path) -> None:
        """The public ensemble, pointing to this deployment."""
        config = ModelConfig()
        config.CopyFrom(self.configs[self.names.ensemble])
        config.name = self.model
        write_adapted(self.build.repository, {self.model: config}, target)


@dataclass
class ServedModels:
    """What is loaded and where public names point, or what a Triton that starts has to load and to point them to.

    Read and changed by several threads, which take `lock`.
    """

    repository: Path
    others: Mapping[str, ModelConfig]
    """Models of the repository that are no part of an ensemble of ours."""
    deployments: dict[str, ServedDeployment] = field(default_factory=dict)
    """By their ensembles' names."""
    live: dict[str, int] = field(default_factory=dict)
    """By model."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def models(self) -> tuple[str, ...]:
        """Their public names."""
        return tuple(sorted(self.live))

    def live_deployment(self, model: str) -> ServedDeployment:
        """The one that answers under the public name."""
        return self.deployments[deployment_name(model, self.live[model])]

    def loaded(self, model: str) -> list[int]:
        """Numbers of the deployments of a model."""
        return sorted(each.number for each in self.deployments.values() if each.model == model)

    def configs(self) -> dict[str, ModelConfig]:
        """Of all that Triton has, by name; of public ensembles those of the live deployment."""
        with self.lock:
            found = dict(self.others)
            for deployment in self.deployments.values():
                found |= {name: deployment.configs[name] for name in deployment.loads()}
            for model in self.live:
                deployment = self.live_deployment(model)
                found[model] = deployment.configs[deployment.names.ensemble]
            return found

    def ensembles(self) -> list[str]:
        """All that can be asked, public names first."""
        with self.lock:
            return [*self.models, *(name for name, each in self.deployments.items() if each.number != 1)]

    def lay_out(self, target: Path) -> None:
        """Write what Triton reads into the folder `target`."""
        with self.lock:
            write_adapted(self.repository, self.others, target)
            for deployment in self.deployments.values():
                deployment.lay_out(target)
            for model in self.live:
                self.live_deployment(model).lay_out_public(target)

    def build_of(self, name: str) -> ServedBuild | None:
        """Where a model of Triton's comes from; None: one of `others`."""
        with self.lock:
            for deployment in self.deployments.values():
                if name in deployment.configs and name not in self.live:
                    return deployment.build
            return self.live_deployment(name).build if name in self.live else None

    def ensembles_over(self, step: str) -> list[str]:
        """Those that a step is part of."""
        with self.lock:
            return [
                name
                for name, config in self.configs().items()
                if any(each.model_name == step for each in config.ensemble_scheduling.step)
            ]


@dataclass(frozen=True)
class ModelReader:
    """Reads built models and chooses their settings.

    Args:
        config_name: the engine's configuration to serve with, where a model has one of that name.
    """

    machine: Machine
    given: GivenSettings
    config_name: str | None = None

    def read(self, repository: Path) -> ServedModels:
        """What a repository holds.

        Raises:
            ServerError: it is none that can be served.
        """
        configs = read_configs(repository, self.config_name)
        models = [name for name in configs if is_complete(name, configs)]
        parts = {name for model in models for name in EnsembleNames(model).all}
        served = ServedModels(repository, {name: each for name, each in configs.items() if name not in parts})
        for model in models:
            own = {name: configs[name] for name in EnsembleNames(model).all}
            served.deployments[model] = self._deployment(model, 1, repository, own)
            served.live[model] = 1
        return served

    def read_deployment(self, folder: Path, model: str, number: int) -> ServedDeployment:
        """One that lies beside the repository, in a folder of its own.

        Raises:
            ServerError: there is no such model.
        """
        configs = self._configs(folder)
        if not is_complete(model, configs):
            raise ServerError(f"{folder} does not hold the model {model}")
        built, served = EnsembleNames(model), EnsembleNames(deployment_name(model, number))
        renamed = dict(zip(built.all, served.all, strict=True))
        own = {}
        for name, new in renamed.items():
            rename_models(configs[name], renamed)
            own[new] = configs[name]
        return self._deployment(model, number, folder, own)

    def _configs(self, folder: Path) -> dict[str, ModelConfig]:
        try:
            return read_configs(folder, self.config_name)
        except ServerError:
            if self.config_name is None:
                raise
            return read_configs(folder)  # built for another engine than the one that others are served with

    def _deployment(
        self, model: str, number: int, repository: Path, configs: dict[str, ModelConfig]
    ) -> ServedDeployment:
        names = EnsembleNames(deployment_name(model, number))
        settings = choose_settings(self.machine, configs, self.given, names)
        settings.apply(configs, names)
        return ServedDeployment(model, number, ServedBuild(repository, [model]), configs, settings, self.machine.gpus)

    def apply_wanted(self, served: ServedModels, wanted: Wanted) -> list[str]:
        """Put what is wanted into a set that no Triton has loaded yet; what could not be, in sentences.

        One that cannot be read is left out, and the model answers as its repository has it.
        """
        folder, problems = DeploymentsFolder(served.repository), []
        for model, of_model in wanted.models.items():
            if model not in served.live:
                continue
            for number in {of_model.live, of_model.kept} - {1, None}:
                assert number is not None
                try:
                    found = self.read_deployment(folder.build_folder(model, number), model, number)
                    served.deployments[found.names.ensemble] = found
                except ServerError as error:
                    problems.append(str(error))
            if deployment_name(model, of_model.live) in served.deployments:
                served.live[model] = of_model.live
            if 1 not in (served.live[model], of_model.kept):
                del served.deployments[model]
        return problems


def describe_settings(served: ServedModels, machine: Machine, given: GivenSettings) -> Sequence[str]:
    """A block for all, or one for each deployment where they differ."""
    described = {each.names.ensemble: each.settings.describe(machine, given) for each in served.deployments.values()}
    if len(set(described.values())) == 1:
        return list(described.values())[:1]
    return [f"{name}: {text}" for name, text in described.items()]
