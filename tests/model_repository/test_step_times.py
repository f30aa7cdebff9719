"""Steps of an image are measured once, and told to everybody."""

from time import monotonic_ns

import pytest

from vfnet_runtime.step_times import DECODE, RESIZE, WAIT, ImageSteps, StepTimes


def test_listeners_are_told_what_was_measured() -> None:
    """Each of the same steps, in their order, within the time that the model had the image."""
    told = list[tuple[str, ImageSteps]]()
    step_times = StepTimes("vfnet_preprocess")
    step_times.listeners += [lambda image: told.append(("first", image)), lambda image: told.append(("second", image))]
    image = step_times.image(request := object())
    image.note(WAIT, image.started, monotonic_ns())
    with image.measure(DECODE):
        pass
    step_times.finish(image)
    assert told == [("first", image), ("second", image)]
    assert image.request is request
    assert [step.name for step in image.steps] == [WAIT, DECODE]
    moments = [image.started, *(moment for step in image.steps for moment in (step.started, step.ended)), image.ended]
    assert moments == sorted(moments)
    assert image.error is None


def test_a_step_that_fails_is_measured() -> None:
    """So an error's trace says where it happened."""
    told = list[ImageSteps]()
    step_times = StepTimes("vfnet_preprocess")
    step_times.listeners.append(told.append)
    image = step_times.image(None)
    with pytest.raises(ValueError, match="broken"), image.measure(RESIZE):
        raise ValueError("broken")
    step_times.finish(image, "the image is broken")
    assert [step.name for step in told[0].steps] == [RESIZE]
    assert told[0].error == "the image is broken"


def test_a_listener_that_fails_is_asked_no_more() -> None:
    """And no image fails for it; the others are told on."""
    told, warnings = list[ImageSteps](), list[str]()

    def fail(_: ImageSteps) -> None:
        raise OSError("no room")

    step_times = StepTimes("vfnet_preprocess", warnings.append)
    step_times.listeners += [fail, told.append]
    for _ in range(2):
        step_times.finish(step_times.image(None))
    assert len(told) == 2
    assert len(warnings) == 1
    assert "OSError: no room" in warnings[0]
