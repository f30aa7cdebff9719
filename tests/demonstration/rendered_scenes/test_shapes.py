"""Rays meet solids where geometry says."""

from __future__ import annotations

import numpy as np
import pytest
from demonstration.rendered_scenes.parts import Part, Pose, rotation
from demonstration.rendered_scenes.shapes import ConvexSolid, Face, Lathe


def rays(*directions: tuple[float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(directions, np.float32)


@pytest.fixture
def cylinder() -> Lathe:
    """Radius 2, height 10: bottom, side and lid are slots 0, 1 and 2."""
    return Lathe(np.array([(0, 0), (2, 0), (2, 10), (0, 10)], np.float32), [0, 1, 2])


def test_a_cylinder_is_met_at_its_side_and_missed_above(cylinder: Lathe) -> None:
    hits = cylinder.intersect(rays((-10, 0, 5), (-10, 0, 11)), rays((1, 0, 0)))
    assert hits.hit.tolist() == [True, False]
    assert hits.distance[0] == pytest.approx(8)
    np.testing.assert_allclose(hits.normal[0], [-1, 0, 0], atol=1e-6)
    assert hits.slot[0] == 1
    assert hits.uv[0, 1] == pytest.approx(0.5)


def test_its_lid_is_met_from_above_inside_the_radius_only(cylinder: Lathe) -> None:
    hits = cylinder.intersect(rays((1.9, 0, 20), (2.1, 0, 20)), rays((0, 0, -1)))
    assert hits.hit.tolist() == [True, False]
    assert (hits.distance[0], hits.slot[0]) == (pytest.approx(10), 2)
    np.testing.assert_allclose(hits.normal[0], [0, 0, 1], atol=1e-6)


def test_print_runs_to_the_right_around_it_as_seen_from_outside(cylinder: Lathe) -> None:
    u = cylinder.intersect(rays((-1, -10, 5), (1, -10, 5)), rays((0, 1, 0))).uv[:, 0]
    assert u[0] < u[1]


def test_a_sphere_of_many_frustums_is_round() -> None:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 41)
    sphere = Lathe(np.column_stack([3 * np.cos(angles), 3 + 3 * np.sin(angles)]), [0] * 40)
    directions = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centre = np.array([0, 0, 3], np.float32)
    hits = sphere.intersect(centre - 10 * directions, directions)
    np.testing.assert_allclose(hits.distance, 7, atol=0.02)
    np.testing.assert_allclose(hits.normal, -directions, atol=0.05)


def test_a_convex_solid_is_met_at_the_face_that_the_ray_enters_through() -> None:
    eye = np.eye(3, dtype=np.float32)
    faces = [
        Face(sign * eye[axis], 1.0, eye[(axis + 1) % 3], eye[(axis + 2) % 3], np.zeros(3, np.float32), (1, 1), axis)
        for axis in range(3)
        for sign in (-1, 1)
    ]
    cube = ConvexSolid(faces, np.zeros((1, 3)))
    hits = cube.intersect(rays((-5, 0, 0), (0, 0, 5), (5, 3, 0)), rays((1, 0, 0), (0, 0, -1), (-1, 0, 0)))
    assert hits.hit.tolist() == [True, True, False]
    np.testing.assert_allclose(hits.distance[:2], 4)
    assert hits.slot[:2].tolist() == [0, 2]


def test_a_moved_part_is_met_where_it_was_moved_to(cylinder: Lathe) -> None:
    lying = Part(cylinder, (), Pose(rotation("x", np.pi / 2), np.array([0, 5, 2], np.float32)))
    hits = lying.intersect(rays((0, 0, 20), (0, 6, 20)), rays((0, 0, -1)))
    assert hits.hit.tolist() == [True, False]  # it reaches from y = -5 to 5
    assert hits.distance[0] == pytest.approx(16, abs=1e-3)
    np.testing.assert_allclose(hits.normal[0], [0, 0, 1], atol=1e-5)
