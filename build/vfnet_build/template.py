"""The parts of a repository that no checkpoint changes: the models' configurations and entries, and the runtime."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import vfnet_build
from vfnet_model.served_repository import SERVED_PACKAGES, package_directory


def template_directory() -> Path:
    """The models' folders: `model_repository/` of a checkout, or its copy in an installed wheel."""
    package = Path(vfnet_build.__file__).parent
    installed = package / "model_repository"
    return installed if installed.is_dir() else package.parents[1] / "model_repository"


def template_sha256() -> str:
    """Digest over the names and contents of all of it."""
    digest = hashlib.sha256()
    packages = [package_directory(name) for name in SERVED_PACKAGES]
    for folder in (template_directory(), *packages):
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            if folder not in packages and any(package in path.parents for package in packages):
                continue  # in a checkout the runtime stands beside the models
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def copy_folder(source: Path, target: Path, without: Collection[str] = ("__pycache__",)) -> None:
    """Copy all but hidden files and what has one of these names, at any depth. Raises OSError."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name.startswith(".") or path.name in without:
            continue
        if path.is_dir():
            copy_folder(path, target / path.name, without)
        else:
            shutil.copyfile(path, target / path.name)
