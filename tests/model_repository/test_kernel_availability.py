"""A host where kernels cannot be built: what Triton's language really raises there, and the sentence made of it."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest
import torch

from vfnet_runtime.engines import kernel_availability, network_operations
from vfnet_runtime.engines.kernel_availability import explained, why_no_kernels

build = pytest.importorskip("triton.runtime.build", reason="Triton's language is not installed")
SOURCE = "#include <Python.h>\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))


def raised_by_building() -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of any type, that is the point
        build.compile_module_from_src(SOURCE, "nothing")
    return caught.value


def test_no_c_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install gcc" in explained(raised_by_building())


def test_no_python_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = sysconfig.get_paths() | {"include": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda *_, **__: paths)
    assert f"{tmp_path}/Python.h is not there: `apt-get install python" in explained(raised_by_building())


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    assert "`false" in explained(raised_by_building())


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert "name another folder in $TRITON_CACHE_DIR" in explained(raised_by_building())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a driver here")
def test_no_driver_in_the_loaders_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.backends.nvidia.driver import libcuda_dirs

    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    libcuda_dirs.cache_clear()
    with pytest.raises(AssertionError) as caught:
        libcuda_dirs()
    assert "run `ldconfig`" in explained(caught.value)


def test_no_language() -> None:
    assert "pip install triton" in explained(ModuleNotFoundError("No module named 'triton'", name="triton"))


def test_anything_else_is_told_in_its_own_words() -> None:
    assert explained(RuntimeError("ptxas does not know sm_999\nand more")) == (
        "a first kernel failed, RuntimeError: ptxas does not know sm_999"
    )
    assert "/sbin/ldconfig" in explained(FileNotFoundError(2, "No such file or directory", "/sbin/ldconfig"))


def test_where_a_kernel_fails_pytorchs_own_operators_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    # On the CPU it fails for want of a driver.
    reason = network_operations.start_kernels(torch.device("cpu"))
    assert reason
    assert not network_operations.HAS_KERNELS
    out = network_operations.add_and_rectify(torch.tensor([-3.0, 2.0]).view(1, 2, 1, 1), torch.ones(2))
    assert out.flatten().tolist() == [0.0, 3.0]

    wrong = ArithmeticError("a kernel computed [1.0] instead of [2.0]")
    monkeypatch.setattr(kernel_availability, "_try_kernel", lambda _device: wrong)
    assert "a kernel computed [1.0]" in str(why_no_kernels(torch.device("cpu")))


def test_a_cache_that_cannot_be_written_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(kernel_availability.tempfile, "tempdir", str(tmp_path))

    def try_kernel(_device: torch.device) -> Exception | None:
        try:
            build.compile_module_from_src("int nothing;", "nothing")
        except (OSError, subprocess.CalledProcessError) as error:
            return error
        except ImportError:
            pass  # it was compiled
        return None

    monkeypatch.setattr(kernel_availability, "_try_kernel", try_kernel)
    assert why_no_kernels(torch.device("cpu")) is None
