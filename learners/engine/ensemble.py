"""The ensemble of critics: its values, its regression to a target, and its slope along the actions.

Gradients are written out by hand. One critic after the other goes through all its layers, forwards and back,
so that its activations stay in the core's own cache. Every product is one critic's: a batched one may round
by how many there are in it, which is by how many workers there are. Everything happens in buffers made once,
for minibatches of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from learners.engine.adam import Adam, Step
from learners.engine.backend import Backend
from learners.engine.critic import Critic, Scratch
from learners.engine.dropout import Dropout
from learners.engine.kernels import Call
from learners.engine.parameters import Parameters, direction_of
from learners.engine.spectral_norm import SETTLE, follow, pull_back
from learners.networks import Critics


class Ensemble:
    """E critics and their slowly following targets, on minibatches of B rows.

    ``inputs`` below are normalised observations beside executed actions, (B, inputs), the last ``actions``
    columns being the actions.
    """

    def __init__(
        self,
        network: Critics,
        actions: int,
        rows: int,
        rate: float,
        polyak: float,
        dropout: float,
        backend: Backend,
        watched: int = 0,
    ) -> None:
        """``watched``: by how many of the inputs' first columns ``regress`` finds the gradient, too."""
        operand, generator = backend.operand, backend.generator
        kernels, workers = backend.kernels, backend.workers
        self.parameters = Parameters(network.shapes, operand)
        network.initialise(self.parameters.tensors, generator)
        for call in SETTLE * _bind_follow(self.parameters, network.normalised, slice(None)):
            call()
        self.parameters.round()
        self.targets = Parameters(network.shapes, operand)
        self.targets.copy_(self.parameters.flat)
        gradients = self.parameters.gradients()
        self.optimiser = Adam(self.parameters, gradients, self.targets, polyak, rate, kernels)

        self._workers, self._kernels = workers, kernels
        count, hidden = network.critics, network.hidden
        self._dropout = Dropout(dropout, [rows * width for _ in range(count) for width in hidden], generator)
        self._inputs = torch.empty(rows, network.inputs, dtype=operand)
        self._target = torch.empty(rows)
        self._values, self._target_values = torch.empty(count, rows), torch.empty(count, rows)
        self._slopes = torch.empty(count, rows, actions, dtype=operand)
        self._by_inputs = torch.empty(count, rows, watched, dtype=operand)
        self._regress: list[tuple[list[Call], list[Step], list[Call]]] = []
        self._slope: list[list[Call]] = []
        self._follow: list[list[list[Call]]] = []
        norm = network.layer_norm
        scratches = [Scratch(rows, hidden, operand, layer_norm=norm) for _ in range(workers.count)]
        unwanted = self.parameters.gradients()
        # The loss is the mean over critics and rows.
        gain = 2.0 / (count * rows)
        for share, scratch in zip(workers.shares(count), scratches, strict=False):
            regress: list[Call] = []
            slope: list[Call] = []
            for member in range(share.start, share.stop):
                critic = self._critic(member, self.parameters, scratch, self._values)
                z, weight = scratch.z[0], self.parameters.operands["weight0"][member]
                regress += critic.forward()
                regress += critic.backward(self._target, gain, gradients, weights_too=True)
                if watched:
                    regress.append(partial(torch.mm, z, weight[:watched].t(), out=self._by_inputs[member]))
                slope += critic.forward()
                slope += critic.backward(None, 1.0 / count, unwanted, weights_too=False)
                by_action = weight[network.inputs - actions :].t()
                slope.append(partial(torch.mm, z, by_action, out=self._slopes[member]))
            if network.normalised is not None:
                direction = _with_direction(self.parameters, network.normalised, share)
                regress.append(partial(pull_back, *direction, gradients[network.normalised][share]))
            after = _bind_follow(self.parameters, network.normalised, share)
            after += _bind_follow(self.targets, network.normalised, share)
            self._regress.append((regress, self.optimiser.steps(share), after))
            self._slope.append(slope)
        for scratch in scratches:  # a target critic may be any worker's
            critics = [
                self._critic(member, self.targets, scratch, self._target_values) for member in range(count)
            ]
            self._follow.append([critic.forward() for critic in critics])

    def _critic(self, member: int, weights: Parameters, scratch: Scratch, values: Tensor) -> Critic:
        return Critic(member, weights, scratch, self._inputs, values[member], self._dropout, self._kernels)

    def begin(self, updates: int) -> None:
        """Prepare for so many updates: target values and a regression each, and one slope at the end."""
        self._dropout.draw_ahead(2 * updates + 1)

    def target_values(self, inputs: Tensor, members: Sequence[int]) -> Tensor:
        """Of the given target critics, (len(members), B)."""
        self._inputs.copy_(inputs)
        self._dropout.draw()
        self._workers.run(
            [
                partial(_run, [call for m in members[share] for call in self._follow[k][m]])
                for k, share in enumerate(self._workers.shares(len(members)))
            ]
        )
        return self._target_values[list(members)]

    def regress(self, inputs: Tensor, target: Tensor) -> Tensor:
        """One step of Adam on the mean squared error to ``target`` (B,), over critics and rows; the target
        critics follow. Returns the values before the step, (E, B), valid until the next call."""
        self._inputs.copy_(inputs)
        self._target.copy_(target)
        self._dropout.draw()
        factors = self.optimiser.begin()
        self._workers.run(
            [partial(_run, calls, steps, factors, after) for calls, steps, after in self._regress]
        )
        return self._values

    def by_inputs(self) -> Tensor:
        """The gradient of the last regression's loss by the watched inputs, before its step, (B, watched)."""
        return self._by_inputs.to(self._values.dtype).sum(0)

    def slope(self, inputs: Tensor, *, least: bool = False) -> tuple[Tensor, Tensor]:
        """Values (E, B), valid until the next call, and the gradient of their mean over critics, or of the
        ``least`` of them in each row, by the actions, (B, actions)."""
        self._inputs.copy_(inputs)
        self._dropout.draw()
        self._workers.run([partial(_run, calls) for calls in self._slope])
        slopes = self._slopes.to(self._values.dtype)  # of the mean
        if not least:
            return self._values, slopes.sum(0)
        rows = torch.arange(len(inputs))
        return self._values, len(slopes) * slopes[self._values.argmin(0), rows]


def _with_direction(parameters: Parameters, name: str, share: slice) -> tuple[Tensor, Tensor]:
    return parameters.tensors[name][share], parameters.tensors[direction_of(name)][share]


def _bind_follow(parameters: Parameters, name: str | None, share: slice) -> list[Call]:
    """What is left to do once some critics' weights have changed."""
    if name is None:
        return []
    return [partial(follow, *_with_direction(parameters, name, share), parameters.operands[name][share])]


def _run(
    calls: Sequence[Call],
    steps: Sequence[Step] = (),
    factors: tuple[float, float] = (0.0, 0.0),
    after: Sequence[Call] = (),
) -> None:
    for call in calls:
        call()
    for step in steps:
        step(*factors)
    for call in after:
        call()
