"""What a served model and the steps of its ensemble are called in Triton.

A model has a public name, `vfnet` unless `vfnet build --name` gave another. Under it Triton has an ensemble, and with a
suffix each of the three models that the ensemble is made of. `vfnet deploy` puts another build of a model beside the
one that serves, as `vfnet.2`, `vfnet.3` and so on: those have a dot, which public names have not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MODEL = "vfnet"
"""The public name unless another is chosen."""
STEPS = ("preprocess", "detector", "postprocess")
"""In the order of the images."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_DEPLOYED = re.compile(rf"({_NAME.pattern})\.([1-9][0-9]{{0,8}})")
ACCEPTED = "a letter, then letters, digits, - or _, at most 40 characters in all, and not ending in " + " or ".join(
    f"_{step}" for step in STEPS
)


@dataclass(frozen=True)
class EnsembleNames:
    """The names that one ensemble has in Triton."""

    ensemble: str

    @property
    def preprocess(self) -> str:
        """Decodes and resizes."""
        return self.step("preprocess")

    @property
    def detector(self) -> str:
        """The network."""
        return self.step("detector")

    @property
    def postprocess(self) -> str:
        """Suppresses and writes the answer."""
        return self.step("postprocess")

    @property
    def steps(self) -> tuple[str, ...]:
        """The three, in the order of the images."""
        return tuple(self.step(step) for step in STEPS)

    @property
    def all(self) -> tuple[str, ...]:
        """The ensemble and its steps."""
        return (self.ensemble, *self.steps)

    def step(self, step: str) -> str:
        """The name of one of `STEPS`."""
        return f"{self.ensemble}_{step}"


def check_model_name(text: str) -> str:
    """A public name, as it is.

    Raises:
        ValueError: it is none; the message says what is accepted.
    """
    if not _NAME.fullmatch(text) or text.endswith(tuple(f"_{step}" for step in STEPS)):
        raise ValueError(f"a model cannot be called {text[:60]!r}: {ACCEPTED}")
    return text


def check_ensemble_name(text: str) -> str:
    """The name of something that can be asked: a model, or one deployment of it, such as `vfnet.2`.

    Raises:
        ValueError: it is neither; the message says what is accepted.
    """
    deployed = _DEPLOYED.fullmatch(text)
    try:
        check_model_name(deployed[1] if deployed else text)
    except ValueError as error:
        raise ValueError(f"{error}; or such a name with the number of a deployment, as in {MODEL}.2") from None
    return text


def deployment_name(model: str, number: int) -> str:
    """The ensemble of a model's deployment: of the first, which the repository holds, and of others beside it."""
    return model if number == 1 else f"{model}.{number}"


def model_of(ensemble: str) -> str:
    """The public name of the model that an ensemble is a deployment of."""
    return ensemble.partition(".")[0]
