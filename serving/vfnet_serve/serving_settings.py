"""Streams, processes, batches and queues that suit the machine, each of which a person may choose instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from vfnet_client.commands.options import milliseconds
from vfnet_client.commands.settings_options import Count, Seconds, meanings
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_serve.installation import ServerError
from vfnet_serve.machine import Machine

_USUAL_WAITING, _FEWEST_WAITING = 16, 2
DEFAULT_MAX_WAIT = 0.75
"""Leaves a server time to be itself again within a second of too many requests."""
_USUAL_NAMES = EnsembleNames(MODEL)
_FEWEST_AHEAD = 8
"""Images that leave a quick network enough to do."""
_BATCH_PER_STREAM, _BATCH_PER_THROUGHPUT_STREAM = 4, 2
_MOST_THROUGHPUT_STREAMS = 4
_INSTANCES_ON_A_GPU = 2
"""So the GPU computes while the pixels of the next batch are copied: `vfnet bench instances`. Not measured on a GPU."""


@dataclass(frozen=True)
class GivenSettings:
    """What a person chose; None: to be chosen here. Named as the options of `vfnet serve`, which are made of this."""

    streams: Count | None = None
    """Images that the detector computes at once."""
    throughput_streams: Count | None = None
    """Images that it computes at once where so many wait."""
    threads: Count | None = None
    """Threads that they share."""
    batch_size: Count | None = None
    """Images handed to the detector together, at most."""
    queue_delay: Annotated[float, milliseconds, "MS"] | None = None
    """Milliseconds that it may wait for a fuller batch."""
    preprocess_instances: Count | None = None
    """Processes that decode and resize."""
    postprocess_instances: Count | None = None
    """Processes that suppress and write JSON."""
    max_in_flight: Count | None = None
    """Images from decoding to answer at once."""
    max_waiting: Count | None = None
    """Images of each priority that may wait before that; one more is refused."""
    queue_timeout: Seconds | None = None
    """Seconds that they may wait, then they are refused."""
    max_wait: Seconds | None = None
    """Seconds that all of these may take by the speed measured at the start, else fewer are let in."""
    detector_instances: Count | None = None
    """Processes that compute on each GPU: one while the other is between batches."""


@dataclass(frozen=True)
class ServingSettings:
    """What the server runs with. Streams and threads are None where the engine has none."""

    streams: int | None
    throughput_streams: int | None
    threads: int | None
    batch_size: int
    queue_delay: float
    preprocess_instances: int
    postprocess_instances: int
    max_in_flight: int
    max_waiting: int
    queue_timeout: float
    max_wait: float
    computed_at_once: int
    """Images, by the whole detector, at most; no option of its own."""
    detector_instances: int | None = None
    """None: as many as it was built with."""

    def describe(self, machine: Machine, given: GivenSettings) -> str:
        """A block of lines, one per setting, named as the option that changes it."""
        lines = [f"settings for {machine}:"]
        for name, meaning in meanings(GivenSettings).items():
            if (value := getattr(self, name)) is not None:
                option = f"--{name.replace('_', '-')} {value:g}"
                mark = ", as given" if getattr(given, name) is not None else ""
                lines.append(f"    {option:<28}{meaning}{mark}")
        return "\n".join(lines)

    @property
    def fewest_in_flight(self) -> int:
        """That keep the detector at work: as many ready as are computed, and as many decoded as leave together."""
        return min(2 * self.computed_at_once + (self.throughput_streams or 1), self.max_in_flight)

    def within_max_wait(self, images_per_second: float, given: GivenSettings) -> ServingSettings:
        """Fewer in flight and waiting where those chosen take longer than `max_wait` at this speed.

        As many stay as keep the detector at work. What is `given` stays as it is.
        """
        held = self.preprocess_instances  # each may have one in its hands that waits for a place
        allowed = int(self.max_wait * images_per_second)
        in_flight = given.max_in_flight or _between(
            self.fewest_in_flight, allowed - held - _FEWEST_WAITING, self.max_in_flight
        )
        waiting = _between(min(_FEWEST_WAITING, self.max_waiting), allowed - held - in_flight, self.max_waiting)
        return replace(self, max_in_flight=in_flight, max_waiting=given.max_waiting or waiting)

    def limit(self, other: ServingSettings) -> ServingSettings:
        """`other`, which lets in no more than this does."""
        return replace(
            other,
            max_in_flight=min(self.max_in_flight, other.max_in_flight),
            max_waiting=min(self.max_waiting, other.max_waiting),
        )

    def longest_wait(self, images_per_second: float) -> float:
        """Seconds in which all that may be in the ensemble and before it is answered at this speed."""
        return (self.max_in_flight + self.preprocess_instances + self.max_waiting) / images_per_second

    def apply(self, configs: Mapping[str, ModelConfig], names: EnsembleNames = _USUAL_NAMES) -> None:
        """Write them into the configurations of one ensemble's steps, by name."""
        preprocess, detector = configs[names.preprocess], configs[names.detector]
        _set_instances(preprocess, self.preprocess_instances)
        _set_instances(configs[names.postprocess], self.postprocess_instances)
        preprocess.parameters["max_in_flight"].string_value = str(self.max_in_flight)
        queue = preprocess.dynamic_batching.default_queue_policy
        queue.max_queue_size = self.max_waiting
        queue.default_timeout_microseconds = round(1e6 * self.queue_timeout)
        detector.max_batch_size = self.batch_size
        if self.detector_instances is not None:
            detector.instance_group[0].count = self.detector_instances
        detector.dynamic_batching.max_queue_delay_microseconds = round(1e3 * self.queue_delay)
        if self.streams is not None:
            detector.parameters["num_streams"].string_value = str(self.streams)
            detector.parameters["throughput_streams"].string_value = str(self.throughput_streams)
            detector.parameters["inference_num_threads"].string_value = str(self.threads)


def choose_settings(
    machine: Machine, configs: Mapping[str, ModelConfig], given: GivenSettings, names: EnsembleNames = _USUAL_NAMES
) -> ServingSettings:
    """Settings for a machine.

    Args:
        configs: of the repository's models, by name; the detector's says whether it runs on GPUs and has streams.
        names: of the ensemble that the settings are for.

    Raises:
        ServerError: one is given that the engine does not have.
    """
    detector = configs[names.detector]
    has_streams = "num_streams" in detector.parameters
    if not has_streams and (given.streams or given.throughput_streams or given.threads):
        raise ServerError(
            "the detector's configuration has no streams and threads to set: leave --streams, --throughput-streams "
            "and --threads"
        )
    is_ours = detector.backend == "python"
    gpus = machine.gpus if any(group.kind in ON_GPUS for group in detector.instance_group) else 0

    # The network wants all cores; decoding has to keep up with it. On GPUs decoding is what the cores are for.
    preprocess = given.preprocess_instances or (
        _between(2, machine.cores - 2, 8 * gpus) if gpus else _between(2, machine.cores // 4, 8)
    )
    # Two at least: one answers what waits when the other has died. Triton (2.51) gives a dead process one image after
    # another until it is replaced, and waits a second for every one.
    postprocess = given.postprocess_instances or (
        _between(2, machine.cores // 4, 2 * gpus) if gpus else max(2, machine.cores // 8)
    )
    threads = (given.threads or machine.cores) if has_streams else None
    streams = (given.streams or max(1, (threads or 1) // 4)) if has_streams else None
    throughput_streams = given.throughput_streams
    if threads is not None and throughput_streams is None:
        # One image on each core: more get done than by cores that wait for each other. Only few were tried.
        throughput_streams = threads if threads <= _MOST_THROUGHPUT_STREAMS else streams
    # Several images for every stream, for all wait for the last; an engine without streams was built for its batches.
    batch = int(detector.max_batch_size)
    if streams is not None and throughput_streams is not None:
        # As many for each, so that none is left over, which would be computed alone on all cores.
        batch = max(_BATCH_PER_STREAM * streams, _BATCH_PER_THROUGHPUT_STREAM * throughput_streams)
    batch = given.batch_size or batch
    # One batch under way, and on GPUs one ready to follow it; on CPUs it fills up while the first one's images leave.
    ahead = 2 * gpus * batch if gpus else max(_FEWEST_AHEAD, batch)
    return ServingSettings(
        streams=streams,
        throughput_streams=throughput_streams,
        threads=threads,
        batch_size=batch,
        queue_delay=given.queue_delay if given.queue_delay is not None else (1.0 if gpus else 0.0),
        preprocess_instances=preprocess,
        postprocess_instances=postprocess,
        max_in_flight=given.max_in_flight or ahead + preprocess,
        max_waiting=given.max_waiting or max(_USUAL_WAITING, ahead),
        queue_timeout=given.queue_timeout or 30.0,
        max_wait=given.max_wait or DEFAULT_MAX_WAIT,
        computed_at_once=max(streams or 1, throughput_streams or 1, gpus * batch),
        detector_instances=given.detector_instances or (_INSTANCES_ON_A_GPU if gpus and is_ours else None),
    )


ON_GPUS = (ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_AUTO)
"""Kinds of instances of which each GPU that is there gets one."""


def _between(lowest: int, value: int, highest: int) -> int:
    return max(lowest, min(value, highest))


def _set_instances(config: ModelConfig, count: int) -> None:
    del config.instance_group[1:]
    if not config.instance_group:
        config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU)
    config.instance_group[0].count = count
