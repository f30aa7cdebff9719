"""Compiling the library, and what happens where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vfnet_build.engines.native_code import COMPILED, compile_convolutions
from vfnet_runtime.engines import convolutions
from vfnet_runtime.engines.convolutions.deformable_convolution import lower_deformable_convolutions
from vfnet_runtime.engines.convolutions.library import LIBRARY, load_library
from vfnet_runtime.engines.convolutions.winograd_convolution import lower_plain_convolutions
from vfnet_runtime.engines.openvino_engine import openvino_core


def c_compiler() -> str:
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if found is None:
        pytest.skip("there is no C compiler")
    return found


def test_a_library_that_is_compiled_already_needs_no_compiler(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the images."""
    monkeypatch.setenv(COMPILED, str(library.parent))
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert compile_convolutions(tmp_path) is None
    assert (tmp_path / LIBRARY).read_bytes() == library.read_bytes()
    monkeypatch.delenv(COMPILED)
    assert "/nowhere/cc" in str(compile_convolutions(tmp_path))


def test_what_cannot_be_compiled_is_said_by_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not which header includes which."""
    compiler = c_compiler()
    (tmp_path / "convolutions.c").write_text('#include "outer.h"\n')
    (tmp_path / "outer.h").write_text('#include "inner.h"\n')
    (tmp_path / "inner.h").write_text('#include "nowhere.h"\n')
    assert "nowhere.h" in str(compile_convolutions(tmp_path, tmp_path)).splitlines()[0]
    monkeypatch.setenv("CC", f"{compiler} -U__x86_64__")  # as on ARM
    assert "for x86-64 only" in str(compile_convolutions(tmp_path))
    assert not (tmp_path / LIBRARY).exists()


THREADS_AT_ONCE = """
#include <stdio.h>
#include <time.h>
#include "worker_threads.h"

static atomic_int now, most;

static void wait(void *context, int chunk) {
    int here = atomic_fetch_add(&now, 1) + 1, seen = atomic_load(&most);
    while (here > seen && !atomic_compare_exchange_weak(&most, &seen, here));
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    atomic_fetch_sub(&now, 1);
}

static void *call(void *unused) {
    parallel(4, 40, wait, NULL);
    return NULL;
}

int main(void) {
    pthread_t callers[2];
    for (int i = 0; i < 2; i++) pthread_create(&callers[i], NULL, call, NULL);
    for (int i = 0; i < 2; i++) pthread_join(callers[i], NULL);
    printf("%d ", most);
    most = 0;
    parallel(2, 20, wait, NULL);
    printf("%d", most);
}
"""


def test_each_caller_has_as_many_threads_as_it_asks_for_and_no_more(tmp_path: Path) -> None:
    """Two at once that ask for four, and then one that asks for two."""
    (tmp_path / "main.c").write_text(THREADS_AT_ONCE)
    headers = Path(convolutions.__file__).parent
    program = tmp_path / "main"
    command = [c_compiler(), "-std=gnu11", "-pthread", f"-I{headers}", "-o", str(program), str(tmp_path / "main.c")]
    subprocess.run(command, check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == "8 2"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.9999])
def test_a_part_of_a_library_is_none(share: float, library: Path, tmp_path: Path) -> None:
    """Of a copy that was interrupted; the system's loader would end the process."""
    data = library.read_bytes()
    (tmp_path / LIBRARY).write_bytes(data[: int(share * len(data))])
    assert load_library(tmp_path / LIBRARY) is None
    assert load_library(library) is not None


def test_openvinos_own_stay_where_ours_cannot_be(demo_repository: Path, tmp_path: Path) -> None:
    network = demo_repository / "vfnet_detector" / "1" / "network.xml"
    damaged = tmp_path / LIBRARY
    damaged.write_text("no library")
    for precision, path in (("f32", damaged), ("int8", tmp_path / "missing.so"), ("bf16", damaged)):
        model = openvino_core().read_model(network)
        assert lower_deformable_convolutions(model, precision, 1, path, {}) == 0
        assert lower_plain_convolutions(model, 1, path, {}) == 0
