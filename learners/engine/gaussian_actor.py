"""The actor's mean and log standard deviation, and its descent, in buffers made once."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from learners.config import CommonConfig
from learners.engine.adam import Adam
from learners.engine.backend import Backend
from learners.engine.kernels import Call, Kernels
from learners.engine.parameters import Parameters
from learners.networks import LOG_STD_MAX, LOG_STD_MIN, Actor


class GaussianActor:
    """An actor, and the running average of it that is published, on minibatches of B rows."""

    def __init__(self, network: Actor, config: CommonConfig, backend: Backend) -> None:
        kernels, workers = backend.kernels, backend.workers
        self.parameters = Parameters(network.shapes, backend.operand)
        network.initialise(self.parameters.tensors, backend.generator)
        self.parameters.round()
        self.published = Parameters(network.shapes, backend.operand)
        self.published.copy_(self.parameters.flat)
        gradients = self.parameters.gradients()
        self.optimiser = Adam(
            self.parameters, gradients, self.published, config.actor_average, config.learning_rate, kernels
        )
        self._workers = workers
        self._passes = [_Pass(network, self.parameters, config.batch, kernels) for _ in range(workers.count)]
        self._backward = self._passes[0].backward(gradients)

    def __call__(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised observations (N, B, O) to mean and log-std before the tanh, each (N, B, A)."""
        count, rows, _ = observations.shape
        mean = torch.empty(count, rows, self._passes[0].mean.shape[1])
        log_std = torch.empty_like(mean)

        def work(one: _Pass, share: slice) -> None:
            for n in range(share.start, share.stop):
                one.run(observations[n])
                mean[n] = one.mean
                torch.clamp(one.log_std, LOG_STD_MIN, LOG_STD_MAX, out=log_std[n])

        shares = self._workers.shares(count)
        self._workers.run([partial(work, *task) for task in zip(self._passes, shares, strict=False)])
        return mean, log_std

    def finite(self) -> bool:
        """Whether everything that is published is."""
        return bool(torch.isfinite(self.published.flat).all())

    def descend(self, by_mean: Tensor, by_log_std: Tensor) -> None:
        """One step of Adam along the given gradients, (B, A), at the only minibatch of the last call; the
        published actor follows."""
        last = self._passes[0]
        last.by_mean.copy_(by_mean)
        unclamped = (last.log_std >= LOG_STD_MIN) & (last.log_std <= LOG_STD_MAX)
        torch.mul(by_log_std, unclamped, out=last.by_log_std)
        for call in self._backward:
            call()
        self.optimiser.step()


class _Pass:
    """One worker's buffers, and the operations bound to them."""

    def __init__(self, network: Actor, weights: Parameters, rows: int, kernels: Kernels) -> None:
        operand, hidden = weights.operand, network.hidden
        exact = weights.flat.dtype
        self._weights, self._kernels, self._same_std = weights, kernels, network.same_std
        self._inputs = torch.empty(rows, network.inputs, dtype=operand)
        self._z = [torch.empty(rows, width, dtype=operand) for width in hidden]
        # The heads are small: their products are exact.
        self._h = [torch.empty(rows, width, dtype=operand) for width in hidden[:-1]]
        self._h.append(torch.empty(rows, hidden[-1], dtype=exact))
        self._up = [torch.empty_like(h) for h in self._h]
        self.mean, self.log_std = (torch.empty(rows, network.actions) for _ in range(2))
        self.by_mean, self.by_log_std = torch.empty_like(self.mean), torch.empty_like(self.mean)
        self._forward = self._bind_forward()

    def run(self, inputs: Tensor) -> None:
        """Fill ``mean`` and ``log_std``, the latter not clamped yet."""
        self._inputs.copy_(inputs)
        for call in self._forward:
            call()

    def _bind_forward(self) -> list[Call]:
        calls: list[Call] = []
        h = self._inputs
        exact, operands = self._weights.tensors, self._weights.operands
        for k, (z, out) in enumerate(zip(self._z, self._h, strict=True)):
            calls.append(partial(torch.mm, h, operands[f"weight{k}"], out=z))
            calls.append(self._kernels.rectify(z, exact[f"bias{k}"], out))
            h = out
        for name, out in (("mean", self.mean), ("log_std", self.log_std)):
            calls.append(partial(torch.addmm, exact[f"{name}_bias"], h, exact[f"{name}_weight"], out=out))
        return calls

    def backward(self, gradients: dict[str, Tensor]) -> list[Call]:
        """From ``by_mean`` and ``by_log_std`` to the gradients."""
        calls: list[Call] = []
        exact, operands = self._weights.tensors, self._weights.operands
        up = self._up[-1]
        for name, by in (("mean", self.by_mean), ("log_std", self.by_log_std)):
            if not (self._same_std and name == "log_std"):
                calls.append(partial(torch.mm, self._h[-1].t(), by, out=gradients[f"{name}_weight"]))
            calls.append(partial(torch.sum, by, 0, out=gradients[f"{name}_bias"]))
        calls.append(partial(torch.mm, self.by_mean, exact["mean_weight"].t(), out=up))
        back = exact["log_std_weight"].t()
        calls.append(partial(torch.addmm, up, self.by_log_std, back, out=up))
        for k in reversed(range(len(self._z))):
            z, below = self._z[k], self._h[k - 1] if k > 0 else self._inputs
            calls.append(self._kernels.rectify_backward(self._up[k], self._h[k], z, gradients[f"bias{k}"]))
            calls.append(partial(torch.mm, below.t(), z, out=gradients[f"weight{k}"]))
            if k > 0:
                back = operands[f"weight{k}"].t()
                calls.append(partial(torch.mm, z, back, out=self._up[k - 1]))
        return calls
