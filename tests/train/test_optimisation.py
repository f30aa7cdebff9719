"""What learns, and how fast."""

from __future__ import annotations

import torch

from tiny_training import tiny_config
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.moving_average import MovingAverage
from vfnet_train.optimisation import make_optimizer, parameter_groups, set_learning_rate
from vfnet_train.precision import autocast, keep_in_float32
from vfnet_train.settings import OptimizerSettings
from vfnet_train.trainable_parts import freeze, train_mode


def test_frozen_stages_have_no_gradients_and_stay_in_evaluation_mode() -> None:
    network = VFNet(tiny_config())
    freeze(network, 1)
    train_mode(network, 1, norm_eval=False)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        n for n, _ in network.named_parameters() if n.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))
    }
    assert not network.backbone.bn1.training
    assert not network.backbone.layer1[0].bn1.training
    assert network.backbone.layer2[0].bn1.training


def test_norm_eval_keeps_batch_statistics() -> None:
    network = VFNet(tiny_config())
    train_mode(network, -1, norm_eval=True)
    assert not network.backbone.layer4[0].bn1.training
    assert network.training
    before = network.backbone.bn1.running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert torch.equal(network.backbone.bn1.running_mean, before)


def test_bias_factors_leave_normalisation_and_offsets_alone_as_mmcv_does() -> None:
    network = VFNet(tiny_config())
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    settings = OptimizerSettings(weight_decay=0.1, bias_learning_rate_factor=2.0, bias_weight_decay_factor=0.0)
    rest, biases = parameter_groups(network, settings)
    assert (biases["lr"], biases["weight_decay"]) == (2 * settings.learning_rate, 0.0)
    found = {names[id(parameter)] for parameter in biases["params"]}  # type: ignore[union-attr]
    assert "bbox_head.vfnet_cls.bias" in found
    assert "neck.lateral_convs.0.conv.bias" in found
    assert all(name.endswith(".bias") for name in found)
    assert not [name for name in found if ".gn." in name or ".bn" in name or "conv_offset" in name]
    assert len(found) + len(rest["params"]) == len(names)  # type: ignore[arg-type]


def test_the_schedule_scales_every_groups_own_rate() -> None:
    settings = OptimizerSettings("sgd", 0.1, bias_learning_rate_factor=2.0)
    optimizer = make_optimizer(VFNet(tiny_config()), settings)
    for factor in (0.5, 0.25):
        assert set_learning_rate(optimizer, factor) == 0.1 * factor
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.05]


def test_the_average_follows_the_weights_and_detects_with_its_own() -> None:
    network = VFNet(tiny_config()).eval()
    keep_in_float32(network)
    average = MovingAverage(network, 0.5)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = average.network(image)[1][0]
        for parameter in network.parameters():
            parameter.add_(0.1)
        assert torch.equal(average.network(image)[1][0], before)
        average.update(network, step=100)
        key = "bbox_head.vfnet_reg.bias"
        assert torch.allclose(average.network.state_dict()[key], network.state_dict()[key] - 0.05)
        assert not torch.equal(average.network(image)[1][0], before)


def test_bf16_leaves_boxes_and_the_last_pyramid_levels_in_float32() -> None:
    network = VFNet(tiny_config()).eval()
    keep_in_float32(network)
    seen = []
    network.bbox_head.vfnet_reg.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    network.neck.fpn_convs[0].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    extra = []
    for level in network.neck.fpn_convs[3:]:
        level.register_forward_hook(lambda _, __, output: extra.append(output.dtype))
    with torch.no_grad(), autocast("bf16", torch.device("cpu")):
        _, first, refined = network(torch.randn(1, 3, 64, 64))
    assert seen[0] == torch.bfloat16
    assert extra == [torch.float32] * 2
    assert set(seen[1:]) == {torch.float32}
    assert {distances.dtype for distances in (*first, *refined)} == {torch.float32}
