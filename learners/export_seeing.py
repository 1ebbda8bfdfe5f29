"""An actor with an encoder before it as one ONNX file: pictures go in as cameras give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper
from torch import Tensor

from learners.encoder import NORM_EPSILON, Network
from learners.export import Array, acting, normalising, policy_file
from robot.contract import POLICY_TENSORS, TaskContract


def export_seeing_actor(
    contract: TaskContract,
    network: Network,
    encoder: dict[str, Tensor],
    actor: dict[str, Tensor],
    depth: int,
    calibration_hash: str,
    version: int,
) -> bytes:
    """As ``export.export_actor``, with an input more for each camera, called as the camera is:
    [N, height, width, stack * channels], uint8, the oldest picture's channels first."""
    nodes, constants, inputs = _encoding(contract, network, encoder)
    more, normaliser = normalising(contract, "state")
    last, weights = acting("felt", actor, depth)
    join = helper.make_node("Concat", ["features", "state"], ["felt"], axis=1)
    nodes, constants = _named([*nodes, *more, join, *last], constants | normaliser | weights, contract)
    return policy_file(
        contract,
        nodes,
        constants,
        contract.action_size,
        calibration_hash,
        version,
        inputs,
    )


def _encoding(
    contract: TaskContract, network: Network, weights: dict[str, Tensor]
) -> tuple[list[Any], dict[str, Array], list[Any]]:
    """From the pictures, called ``camera0`` and so on, to ``features``: nodes, constants and inputs."""
    nodes, inputs, flat = [], [], []
    constants = {f"encoder_{name}": w.numpy() for name, w in weights.items()}
    constants |= {"white": np.array(255.0, np.float32), "grey": np.array(0.5, np.float32)}
    for camera, image in enumerate(contract.images):
        shape = ["N", image.height, image.width, image.channels * image.stack]
        inputs.append(helper.make_tensor_value_info(image.name, TensorProto.UINT8, shape))
        at = f"camera{camera}"
        nodes += [
            helper.make_node("Cast", [at], [f"{at}_float"], to=TensorProto.FLOAT),
            helper.make_node("Div", [f"{at}_float", "white"], [f"{at}_unit"]),
            helper.make_node("Sub", [f"{at}_unit", "grey"], [f"{at}_centred"]),
            helper.make_node("Transpose", [f"{at}_centred"], [f"{at}_0"], perm=[0, 3, 1, 2]),
        ]
        for k, stride in enumerate(network.strides):
            kernel = [f"encoder_kernel{camera}_{k}", f"encoder_kernel_bias{camera}_{k}"]
            nodes += [
                helper.make_node("Conv", [f"{at}_{k}", *kernel], [f"{at}_conv{k}"], strides=[stride] * 2),
                helper.make_node("Relu", [f"{at}_conv{k}"], [f"{at}_{k + 1}"]),
            ]
        last = f"{at}_{len(network.strides)}"
        nodes += [
            helper.make_node("Transpose", [last], [f"{at}_last"], perm=[0, 2, 3, 1]),
            helper.make_node("Flatten", [f"{at}_last"], [f"{at}_flat"]),
        ]
        flat.append(f"{at}_flat")
    projection, norm = (
        [f"encoder_{name}" for name in names]
        for names in (("projection", "projection_bias"), ("norm_scale", "norm_bias"))
    )
    nodes += [
        helper.make_node("Concat", flat, ["seen"], axis=1),
        helper.make_node("Gemm", ["seen", *projection], ["projected"]),
        helper.make_node("LayerNormalization", ["projected", *norm], ["normed"], epsilon=NORM_EPSILON),
        helper.make_node("Tanh", ["normed"], ["features"]),
    ]
    return nodes, constants, inputs


def _named(
    nodes: list[Any], constants: dict[str, Array], contract: TaskContract
) -> tuple[list[Any], dict[str, Array]]:
    """The pictures under their cameras' names, and everything inside the graph under names that no camera
    can have: a file's inputs and tensors share one namespace, and ``state`` is a good name for a camera."""
    prefix = "_"
    while any(image.name.startswith(prefix) for image in contract.images):
        prefix += "_"
    outside = {name: name for name in POLICY_TENSORS}
    outside |= {f"camera{k}": image.name for k, image in enumerate(contract.images)}
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [outside.get(name, prefix + name) for name in names]
    return nodes, {prefix + name: array for name, array in constants.items()}
