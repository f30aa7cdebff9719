"""The page lets one choose which of several models is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from browser_page import OpenPage
from gateway_process import RunningGateway, running_gateway
from triton_server import NO_OP, serving
from vfnet_bench.served_repository import with_fixed_detections
from vfnet_build.model_configuration import configure
from vfnet_build.repository import write_repository
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.manifest import Manifest

pytestmark = pytest.mark.served
BOXES = {"vfnet": 7, "small": 3}


@pytest.fixture(scope="module")
def of_two_models(
    demo_repository: Path, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """A gateway whose models are told apart by how many boxes they find."""
    folder = tmp_path_factory.mktemp("two_models")
    repository = with_fixed_detections(demo_repository, folder / "repository", BOXES["vfnet"])
    manifest = Manifest.read(demo_repository)
    assert manifest is not None
    write_repository(repository, load_checkpoint(demo_checkpoint).config, manifest, lambda _: None, model="small")
    noop = repository / "small_detector" / "configs" / "noop.pbtxt"
    configure(noop, noop, {"detections": str(BOXES["small"])})
    options = [f"--manifest={repository / 'vfnet_build.json'}", *(f"--model={name}" for name in BOXES)]
    with serving(repository, folder, NO_OP) as served, running_gateway(served.grpc_url, folder, *options) as gateway:
        yield gateway


def test_a_picture_is_asked_about_again_where_another_is_chosen(
    open_page: OpenPage, of_two_models: RunningGateway, strip: FilePayload
) -> None:
    visit = open_page(of_two_models)
    choice = visit.page.get_by_label("Model")
    expect(choice.locator("option")).to_have_text(list(BOXES))
    visit.add(strip)
    visit.wait_for("done")
    visit.page.get_by_role("tab", name="Response").click()
    shown = visit.page.locator("#recipe")
    assert len(json.loads(shown.inner_text())[0]["boxes"]) == BOXES["vfnet"]
    with visit.page.expect_response("**/score") as answered:
        choice.select_option("small")
    assert answered.value.request.headers["azureml-model-deployment"] == "small"
    visit.wait_for("done")
    visit.page.wait_for_function(
        f"JSON.parse(document.querySelector('#recipe').innerText)[0].boxes.length === {BOXES['small']}"
    )
    visit.page.get_by_role("tab", name="curl").click()
    expect(shown).to_contain_text("azureml-model-deployment: small")


def test_one_model_is_no_choice(open_page: OpenPage, page_gateway: RunningGateway) -> None:
    expect(open_page(page_gateway).page.get_by_label("Model")).to_be_hidden()
