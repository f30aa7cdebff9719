"""Settings that suit the machine, and those of a person before them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from vfnet_serve.adapted_repository import read_configs
from vfnet_serve.installation import ServerError
from vfnet_serve.machine import Machine, this_machine
from vfnet_serve.serving_settings import GivenSettings, ServingSettings, choose_settings

Configs = dict[str, ModelConfig]
NOTHING = GivenSettings()


@pytest.fixture
def configs(demo_repository: Path) -> Configs:
    return read_configs(demo_repository)


def on_gpu(configs: Configs, batch: int = 16) -> Configs:
    """As an engine for GPUs would have it."""
    detector = configs["vfnet_detector"]
    detector.instance_group[0].kind = ModelInstanceGroup.KIND_AUTO
    detector.max_batch_size = batch
    for name in ("num_streams", "throughput_streams", "inference_num_threads"):
        del detector.parameters[name]
    return configs


def test_two_cores(configs: Configs) -> None:
    assert choose_settings(Machine(2), configs, NOTHING) == ServingSettings(
        streams=1,
        throughput_streams=2,
        threads=2,
        batch_size=4,
        queue_delay=0,
        preprocess_instances=2,
        postprocess_instances=2,
        max_in_flight=10,
        max_waiting=16,
        queue_timeout=30,
        max_wait=0.75,
        computed_at_once=2,
    )


def test_more_cores_compute_more_images_at_once_and_keep_them_fed(configs: Configs) -> None:
    chosen = [choose_settings(Machine(cores), configs, NOTHING) for cores in (1, 4, 16, 64)]
    assert [settings.streams for settings in chosen] == [1, 1, 4, 16]
    assert [settings.throughput_streams for settings in chosen] == [1, 4, 4, 16]  # on many cores no second network
    assert [settings.threads for settings in chosen] == [1, 4, 16, 64]
    for settings in chosen:
        assert settings.streams is not None
        assert settings.throughput_streams is not None
        assert settings.batch_size >= 4 * settings.streams
        assert settings.batch_size % settings.throughput_streams == 0  # a full batch leaves none to be computed alone
        assert settings.max_in_flight > settings.batch_size
        assert settings.preprocess_instances >= 2
    assert chosen[-1].preprocess_instances > chosen[0].preprocess_instances


def test_gpus_get_the_cores_for_decoding_and_the_batches_they_were_built_for(configs: Configs) -> None:
    detector = on_gpu(configs)
    one, two = (choose_settings(Machine(16, gpus), detector, NOTHING) for gpus in (1, 2))
    assert (one.streams, one.throughput_streams, one.threads, one.batch_size) == (None, None, None, 16)
    assert one.max_in_flight > 2 * 16
    assert two.max_in_flight > 4 * 16
    assert one.preprocess_instances == 8
    without = choose_settings(Machine(16), detector, NOTHING)
    assert (without.batch_size, without.preprocess_instances) == (16, 4)


def test_what_is_given_is_taken_and_what_follows_from_it_follows(configs: Configs) -> None:
    given = GivenSettings(2, 6, 3, 5, 1.5, 7, 4, None, 9, 0.5, 3)
    settings = choose_settings(Machine(2), configs, given)
    assert settings == ServingSettings(2, 6, 3, 5, 1.5, 7, 4, 8 + 7, 9, 0.5, 3, 6)
    assert choose_settings(Machine(2), configs, GivenSettings(queue_delay=0.0, max_in_flight=1)).max_in_flight == 1


def test_an_engine_without_streams_refuses_them(configs: Configs) -> None:
    with pytest.raises(ServerError, match="--streams"):
        choose_settings(Machine(2), on_gpu(configs), GivenSettings(streams=2))


@pytest.mark.parametrize(
    ("speed", "in_flight", "waiting"),
    [(1000, 10, 16), (30, 10, 10), (20, 10, 3), (16, 8, 2), (12, 6, 2), (1, 6, 2)],
)
def test_where_those_chosen_take_too_long_fewer_come_in(
    configs: Configs, speed: float, in_flight: int, waiting: int
) -> None:
    bounded = choose_settings(Machine(2), configs, NOTHING).within_max_wait(speed, NOTHING)
    assert (bounded.max_in_flight, bounded.max_waiting) == (in_flight, waiting)
    assert bounded.longest_wait(speed) <= 0.75 or (in_flight, waiting) == (6, 2)  # which keep the detector at work


def test_what_is_given_is_not_bounded(configs: Configs) -> None:
    for given in (GivenSettings(max_in_flight=7), GivenSettings(max_waiting=1), GivenSettings(max_wait=60)):
        chosen = choose_settings(Machine(2), configs, given)
        bounded = chosen.within_max_wait(1, given)
        if given.max_wait:
            assert bounded == chosen
        assert bounded.max_in_flight == given.max_in_flight or given.max_in_flight is None
        assert bounded.max_waiting == given.max_waiting or given.max_waiting is None


def test_every_gpu_gets_a_batch_and_the_next_one_even_so(configs: Configs) -> None:
    chosen = choose_settings(Machine(16, 2), on_gpu(configs), NOTHING)
    bounded = chosen.within_max_wait(10, NOTHING)
    assert (bounded.max_in_flight, bounded.max_waiting) == (2 * 2 * 16 + 1, 2)


def test_they_reach_tritons_configuration(configs: Configs) -> None:
    choose_settings(Machine(2), configs, GivenSettings(2, 6, 3, 5, 1.5, 7, 4, 6, 9, 0.5)).apply(configs)
    preprocess, detector = configs["vfnet_preprocess"], configs["vfnet_detector"]
    assert (preprocess.instance_group[0].count, configs["vfnet_postprocess"].instance_group[0].count) == (7, 4)
    assert preprocess.parameters["max_in_flight"].string_value == "6"
    queue = preprocess.dynamic_batching.default_queue_policy
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (9, 500_000)
    assert (detector.max_batch_size, detector.dynamic_batching.max_queue_delay_microseconds) == (5, 1500)
    assert detector.parameters["num_streams"].string_value == "2"
    assert detector.parameters["throughput_streams"].string_value == "6"
    assert detector.parameters["inference_num_threads"].string_value == "3"
    assert preprocess.dynamic_batching.priority_levels == 2


def test_only_what_waits_at_the_door_has_priorities(configs: Configs) -> None:
    """With any, Triton now and then sees half a second late what came while the only instance computed."""
    choose_settings(Machine(2), configs, NOTHING).apply(configs)
    for name in ("vfnet_detector", "vfnet_postprocess"):
        batching = configs[name].dynamic_batching
        policy = batching.default_queue_policy
        assert (batching.priority_levels, policy.max_queue_size, policy.default_timeout_microseconds) == (0, 0, 0)
        assert not policy.allow_timeout_override


def test_the_written_defaults_are_those_of_a_small_machine(configs: Configs, demo_repository: Path) -> None:
    """So that a stock Triton serves the repository sensibly."""
    choose_settings(Machine(2), configs, NOTHING).apply(configs)
    written = read_configs(demo_repository)
    written["vfnet_detector"].parameters["num_streams"].string_value = "1"
    written["vfnet_detector"].parameters["throughput_streams"].string_value = "2"
    written["vfnet_detector"].parameters["inference_num_threads"].string_value = "2"
    assert configs == written


def test_they_are_told_as_the_options_that_change_them(configs: Configs) -> None:
    given = GivenSettings(preprocess_instances=3)
    text = choose_settings(Machine(2), configs, given).describe(Machine(2, 1), given)
    lines = text.splitlines()
    assert lines[0] == "settings for 2 cores and 1 GPU:"
    # Instances of the detector are told where there are GPUs, and where they are given.
    assert len(lines) == len(fields(GivenSettings))
    assert "--preprocess-instances 3" in text
    assert [line for line in lines if line.endswith("as given")] == [lines[6]]


def test_gpus_are_counted_as_far_as_they_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert this_machine(tmp_path).gpus == 2
    for visible, count in (("1", 1), ("", 0), ("-1", 0), ("0,1", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert this_machine(tmp_path).gpus == count


def test_a_gpu_has_two_instances_that_take_turns(configs: Configs) -> None:
    detector = on_gpu(configs)
    assert choose_settings(Machine(16), detector, NOTHING).detector_instances is None
    settings = choose_settings(Machine(16, 2), detector, NOTHING)
    assert settings.detector_instances == 2
    settings.apply(detector)
    assert detector["vfnet_detector"].instance_group[0].count == 2
    assert detector["vfnet_detector"].instance_group[0].kind == ModelInstanceGroup.KIND_AUTO
    assert choose_settings(Machine(16, 2), detector, GivenSettings(detector_instances=1)).detector_instances == 1
    detector["vfnet_detector"].backend = "tensorrt"  # Triton's own backends are left as they were built
    assert choose_settings(Machine(16, 2), detector, NOTHING).detector_instances is None
