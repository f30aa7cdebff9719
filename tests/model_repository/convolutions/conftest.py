"""The library of convolutions, compiled as for any processor and as for one without AVX-512."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vfnet_build.engines.native_code import compile_convolutions
from vfnet_runtime.engines.convolutions.library import LIBRARY


@pytest.fixture(scope="session", params=["", "-DVFNET_WITHOUT_AVX512"], ids=["", "without AVX-512"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patched:
        if request.param:
            compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), "cc")
            patched.setenv("CC", f"{compiler} {request.param}")
        if reason := compile_convolutions(folder):
            pytest.skip(reason)
    return folder / LIBRARY
