"""What a repository was built from, in a file of its own; read without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vfnet_client.bounded_files import read_text

MANIFEST = "vfnet_build.json"
"""What a built repository was built from; Triton looks at folders only."""
MAX_MANIFEST = 16 * 2**20
"""Bytes: room for as many and as long class names as there may be."""


@dataclass(frozen=True)
class QuantizationOptions:
    """What int8 is made with; paths as text, since they are recorded."""

    calibration: str | None = None
    """Folder of typical images; with `validation` None: rendered scenes, for the demonstration checkpoint."""
    calibration_images: int = 64
    """At most so many of them."""
    validation: str | None = None
    """Annotations of images to compare the accuracy on."""
    validation_images: str | None = None
    """Their folder; None: near the annotations."""
    max_ap_drop: float = 0.01
    """No repository is written that loses more, of 1."""


@dataclass(frozen=True)
class BuildOptions:
    """What a person chooses at build time."""

    engine: str = "openvino"
    """The detector's configuration that serves unless another is chosen."""
    precision: str = "f32"
    other_engines: tuple[str, ...] = ()
    """Configurations that Triton's --model-config-name can choose instead."""
    quantization: QuantizationOptions | None = None
    """For int8."""

    @property
    def engines(self) -> tuple[str, ...]:
        """All whose files the repository holds."""
        return (self.engine, *(other for other in self.other_engines if other != self.engine))


@dataclass(frozen=True)
class Manifest:
    """What a repository was built from: two repositories with equal manifests serve alike."""

    checkpoint_sha256: str
    checkpoint: str
    untrained: bool
    classes: tuple[str, ...]
    options: BuildOptions
    template_sha256: str
    versions: dict[str, str]

    @staticmethod
    def read(repository: Path) -> Manifest | None:
        """The manifest of a built repository; None if there is none or it is from another version.

        It says what somebody wrote into the folder, not what its models are: whoever serves a repository trusts all
        of it, because it is code.
        """
        try:
            fields = json.loads(read_text(repository / MANIFEST, MAX_MANIFEST))
            options = dict(fields["options"])
            options["other_engines"] = tuple(options["other_engines"])
            if options["quantization"] is not None:
                options["quantization"] = QuantizationOptions(**options["quantization"])
            return Manifest(**fields | {"classes": tuple(fields["classes"]), "options": BuildOptions(**options)})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, repository: Path) -> None:
        """Write into the folder `repository`."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (repository / MANIFEST).write_text(text + "\n", encoding="utf-8")
