"""Built repositories and running servers, made once per session, when a test first asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

import markers
import vfnet_process
from built_repository import build_unwarmed
from reference_checkpoint import write_reference_checkpoint
from shared_data import SHARED
from synthetic_checkpoint import THIN_CONFIG_TEXT, write_synthetic_checkpoint
from triton_server import NO_OP, ServedRepository, serving
from vfnet_build.building import build
from vfnet_model.manifest import BuildOptions

# A machine that does something else for a moment makes no example wrong.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What `-m` leaves out as a whole is not even imported: torch's exporters, ray and fuzzers take their time."""
    is_test_file = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test_file and markers.leaves_out(config.option.markexpr, collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in sorted(markers.of_test(item)):
            item.add_marker(marker)
    # Files that take long come first: of the short ones, each process that is done takes another until the end.
    long = {item.path for item in items if any(item.get_closest_marker(marker) for marker in markers.TAKE_LONG)}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that starts a server without the marker `served` fails."""
    vfnet_process.may_serve = item.get_closest_marker("served") is not None


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor write the user's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VFNET_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tests with small networks, which gain nothing from a second thread and wait for it where others compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def demo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic checkpoint, made talkative: it sees something in narrow strips too, which are quick."""
    path = tmp_path_factory.mktemp("demo_checkpoint") / "talkative_demo.pth"
    write_synthetic_checkpoint(path, talkative=1.6)
    return path


@pytest.fixture(scope="session")
def thin_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is built and warmed up in a moment: for what `vfnet up` is asked for by its checkpoint."""
    path = tmp_path_factory.mktemp("thin_checkpoint") / "thin.pth"
    write_synthetic_checkpoint(path, THIN_CONFIG_TEXT, talkative=3.5)
    return path


@pytest.fixture(scope="session")
def demo_repository(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from `demo_checkpoint`: four classes, half width, quick."""
    return build_unwarmed(demo_checkpoint, tmp_path_factory.mktemp("demo") / "repository")


@pytest.fixture(scope="session")
def server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """`demo_repository`, served. Leave it as it is: others use it too."""
    with serving(demo_repository, tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture(scope="session")
def torch_repository(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from `demo_checkpoint` for the PyTorch engine."""
    repository = tmp_path_factory.mktemp("torch") / "repository"
    build(str(demo_checkpoint), repository, BuildOptions("torch"))
    return repository


@pytest.fixture(scope="session")
def torch_server(torch_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """`torch_repository`, served. Leave it as it is: others use it too."""
    with serving(torch_repository, tmp_path_factory.mktemp("torch_server")) as served:
        yield served


@pytest.fixture(scope="session")
def quick_server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """`demo_repository`, its detector without a network. Leave it as it is: others use it too."""
    with serving(demo_repository, tmp_path_factory.mktemp("quick"), NO_OP) as served:
        yield served


@pytest.fixture(scope="session")
def reference_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The true architecture with the weights that the goldens were recorded with."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which is not here")
    return write_reference_checkpoint(tmp_path_factory.mktemp("reference") / "vfnet_ref.pth")


@pytest.fixture(scope="session")
def reference_repository(reference_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from `reference_checkpoint`."""
    return build_unwarmed(reference_checkpoint, tmp_path_factory.mktemp("reference") / "repository")


@pytest.fixture(scope="session")
def reference_server(
    reference_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedRepository]:
    """`reference_repository`, served."""
    with serving(reference_repository, tmp_path_factory.mktemp("reference_server")) as served:
        yield served
