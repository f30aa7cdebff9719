"""Which views a person may ask for."""

from __future__ import annotations

import pytest

from vfnet_model.augmentations import Augmentations
from vfnet_model.checkpoints.errors import CheckpointError


def test_they_are_said_in_the_words_of_the_options() -> None:
    assert not Augmentations()
    assert str(Augmentations()) == ""
    assert str(Augmentations(flip=True)) == "flip"
    assert str(Augmentations(scales=((1333, 800), (600, 400)))) == "scales 1333x800 600x400"
    assert str(Augmentations(True, ((600, 400),))) == "flip, scales 600x400"


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        (((800, 480), (9000, 480)), "--scales 9000x480: each side may be 32 to 4,096 pixels"),
        (((800, 480), (600, 400), (800, 480)), "--scales 800x480 is given twice"),
    ],
)
def test_what_is_not_served_or_finds_nothing_more_is_refused(scales: tuple[tuple[int, int], ...], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        Augmentations(scales=scales).check()
