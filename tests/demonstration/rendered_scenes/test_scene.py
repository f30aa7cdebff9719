"""A rendered scene is the same every time, and its ground truth is where its things are."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from demonstration.rendered_scenes.backgrounds import make_background
from demonstration.rendered_scenes.camera import Camera
from demonstration.rendered_scenes.layout import place_camera, place_things
from demonstration.rendered_scenes.lighting import make_lighting
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.rendering import Renderer
from demonstration.rendered_scenes.scene import RenderedScene, render_scene

SEEDS = range(8)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes() -> list[RenderedScene]:
    return [render_scene(seed, 120, 160) for seed in SEEDS]


def test_a_seed_gives_the_same_scene_again_and_another_gives_another(scenes: list[RenderedScene]) -> None:
    again = render_scene(SEEDS[3], 120, 160)
    np.testing.assert_array_equal(again.pixels, scenes[3].pixels)
    np.testing.assert_array_equal(again.boxes, scenes[3].boxes)
    assert len({scene.pixels.tobytes() for scene in scenes}) == len(scenes)


@pytest.mark.parametrize(("width", "height"), [(97, 64), (60, 90)])
def test_it_has_the_size_that_was_asked_for(width: int, height: int) -> None:
    scene = render_scene(2, width, height)
    assert (scene.pixels.shape, scene.pixels.dtype) == ((height, width, 3), np.uint8)
    assert scene.silhouettes.shape == (len(scene.boxes), height, width)


def test_boxes_hold_the_silhouettes_tightly(scenes: list[RenderedScene]) -> None:
    for scene in scenes:
        assert len(scene.boxes) == len(scene.labels) == len(scene.silhouettes) > 0
        for (x1, y1, x2, y2), silhouette in zip(scene.boxes.astype(int), scene.silhouettes, strict=True):
            assert silhouette.sum() == silhouette[y1:y2, x1:x2].sum()
            inside = silhouette[y1:y2, x1:x2]
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_all_classes_occur(scenes: list[RenderedScene]) -> None:
    found = {label for scene in scenes for label in scene.labels.tolist()}
    assert found == set(range(len(CLASSES)))


def test_pictures_are_neither_black_nor_burnt_out(scenes: list[RenderedScene]) -> None:
    for scene in scenes:
        assert 25 < scene.pixels.mean() < 235
        assert scene.pixels.std() > 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_silhouettes_reach_as_far_as_the_things_do_when_projected(seed: int) -> None:
    rng = random.Random(seed)
    background = make_background(rng)
    lighting = make_lighting(rng, inside_fridge=background.inside_fridge)
    camera = place_camera(rng, background, (240, 320))
    things = place_things(rng, background, camera)
    rendering = Renderer(background, lighting, things, 0.0, 0).render(camera)
    assert things
    for thing, silhouette in zip(things, rendering.silhouettes, strict=True):
        corners = camera.project(thing.corners())
        expected = np.clip([*corners.min(axis=0), *corners.max(axis=0)], 0, [240, 320, 240, 320])
        rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(found, expected, atol=1.0)


def test_what_stands_in_front_hides_what_stands_behind() -> None:
    scene_rng = random.Random(5)
    background = make_background(scene_rng)
    lighting = make_lighting(scene_rng, inside_fridge=background.inside_fridge)
    camera = place_camera(scene_rng, background, (120, 160))
    things = place_things(scene_rng, background, camera)
    rendering = Renderer(background, lighting, things, 0.0, 0).render(camera)
    visible, silhouettes = np.stack(rendering.visible), np.stack(rendering.silhouettes)
    assert (visible.sum(axis=0) <= 1).all()
    np.testing.assert_array_equal(visible.any(axis=0), silhouettes.any(axis=0))


def test_a_camera_projects_its_own_rays_back_to_their_pixels() -> None:
    camera = Camera.looking(np.array([3.0, -50, 30]), np.array([0.0, 2, 5]), 0.05, math.radians(50), (40, 30))
    image = camera.project(camera.position + 37 * camera.rays(camera.window())).reshape(30, 40, 2)
    np.testing.assert_allclose(image[0, 0], [0.5, 0.5], atol=1e-2)
    np.testing.assert_allclose(image[-1, -1], [39.5, 29.5], atol=1e-2)
