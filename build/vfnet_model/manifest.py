"""What a repository was built from, in a file of its own; read without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vfnet_client.bounded_files import read_text
from vfnet_client.model_names import MODEL
from vfnet_model.detection_settings import DetectionSettings
from vfnet_tiling.parameters import parameters_of, recorded_tiling
from vfnet_tiling.tiling import Tiling

MANIFEST = "vfnet_build.json"
"""What a built repository's model was built from; Triton looks at folders only. See `file_of`."""
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
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    """What is not as the checkpoint says."""

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
    tiling: Tiling | None = None
    """That the network was trained in. It is served without tiles, unless a request asks for some."""

    @staticmethod
    def read(repository: Path, model: str = MODEL) -> Manifest | None:
        """The manifest of one model of a built repository; None if there is none or it is from another version.

        It says what somebody wrote into the folder, not what its models are: whoever serves a repository trusts all
        of it, because it is code.
        """
        try:
            fields = json.loads(read_text(repository / file_of(MANIFEST, model), MAX_MANIFEST))
            options = dict(fields["options"])
            options["other_engines"] = tuple(options["other_engines"])
            if options["quantization"] is not None:
                options["quantization"] = QuantizationOptions(**options["quantization"])
            options["detection"] = DetectionSettings.from_json(options["detection"])
            typed = {"classes": tuple(fields["classes"]), "options": BuildOptions(**options)}
            return Manifest(**fields | typed | {"tiling": recorded_tiling(fields.get("tiling"))})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, repository: Path, model: str = MODEL) -> None:
        """Write into the folder `repository`."""
        tiling = None if self.tiling is None else parameters_of(self.tiling)
        text = json.dumps(asdict(self) | {"tiling": tiling}, indent=2, ensure_ascii=False)
        (repository / file_of(MANIFEST, model)).write_text(text + "\n", encoding="utf-8")


def file_of(name: str, model: str) -> str:
    """What a file that each model of a repository has is called for one of them: `MODEL`'s has the plain name."""
    return name if model == MODEL else f"{model}.{name}"  # no model's name has a dot


def built_models(repository: Path) -> list[str]:
    """Models in a folder that `vfnet build` wrote, by name."""
    found = [path.name for path in repository.glob(f"*{MANIFEST}") if path.is_file()]
    names = [MODEL if name == MANIFEST else name.removesuffix(f".{MANIFEST}") for name in found]
    return sorted(name for name in names if name and file_of(MANIFEST, name) in found)
