"""How the gradient of the mutual information meets that of the task, and the weight that finds itself."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from .arguments import checked
from .protocols import InputError

__all__ = ["Balance", "DualAscent", "GradientBalance", "gradient_length"]

Balance = Literal["none", "norm"]


class GradientBalance(nn.Module):
    """The factor by which g_mi is scaled before it joins g_task at one representation.

    - ``"none"``: ``weight``; the result is the gradient of the added loss.
    - ``"norm"``: g_mi is first given the length that g_task has had lately, so that ``weight`` is a ratio
      of gradient lengths and means the same for every network, loss and estimator. "Lately" is a running
      mean over the batches before: with the length of the same batch the penalty would die together with the
      task loss.

    Parameters
    ----------
    mode : {"none", "norm"}, default "norm"
    memory : float, default 0.99
        Decay of the running mean of the task gradient's length, in [0, 1).
    """

    task_norm: Tensor
    steps: Tensor

    def __init__(self, mode: Balance = "norm", *, memory: float = 0.99) -> None:
        super().__init__()
        if mode not in ("none", "norm"):
            raise InputError(f"balance must be 'none' or 'norm', got {mode!r}")
        if not 0 <= memory < 1:
            raise InputError(f"memory must lie in [0, 1), got {memory}")
        self.mode, self.memory = mode, memory
        self.register_buffer("task_norm", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, task_length: Tensor, mi_length: Tensor, weight: float) -> Tensor:
        """Factor for g_mi, from the lengths (scalar tensors) of both gradients; the task's counts at first only."""
        if self.mode == "none":
            return torch.full_like(mi_length, weight)
        first = torch.where(torch.isfinite(task_length), task_length, torch.zeros_like(task_length))
        factor = weight * torch.where(self.steps == 0, first, self.task_norm) / mi_length.clamp(min=1e-20)
        return torch.where(mi_length > 0, factor, torch.zeros_like(factor))

    @torch.no_grad()
    def observe(self, task_length: Tensor) -> None:
        """Take note of the length of a batch's task gradient; one that is not finite changes nothing."""
        step = torch.where(self.steps == 0, 1.0, 1 - self.memory)
        usable = torch.isfinite(task_length)
        self.task_norm.lerp_(torch.where(usable, task_length, self.task_norm), step)
        self.steps += usable.long()


def gradient_length(gradient: Tensor) -> Tensor:
    """Euclidean length in float32, a scalar tensor."""
    # bfloat16 has the range of float32 and is summed in it; float16 is not safe to square.
    wide = gradient.float() if gradient.dtype == torch.float16 else gradient
    return torch.linalg.vector_norm(wide).float()


class DualAscent(nn.Module):
    r"""A weight that finds itself: the multiplier of the constraint I <= ``max_mi``.

    Each observed estimate moves the logarithm of the multiplier by ``rate`` times how far the running mean lies above
    the budget (at most by ``rate``, in units of the budget): the weight grows while more leaks than was allowed, and
    fades while less does. At rest either the budget is met exactly or the weight is of no more use.

    Parameters
    ----------
    max_mi : float
        Budget in nats, > 0.
    rate : float, default 0.02
    memory : float, default 0.9
        Decay of the running mean of the estimates, in [0, 1).
    lowest, highest : float
        Limits of the multiplier, which starts at 1.

    References
    ----------
    Boyd and Vandenberghe, "Convex Optimization", 2004, chapter 5, for the multiplier.
    """

    multiplier: Tensor
    estimate: Tensor
    observed: Tensor

    @checked
    def __init__(
        self, max_mi: float, *, rate: float = 0.02, memory: float = 0.9, lowest: float = 1e-2, highest: float = 1e3
    ) -> None:
        super().__init__()
        if not 0 < max_mi < math.inf:
            raise InputError(f"max_mi must be positive and finite, got {max_mi}")
        if not (0 < rate < 1 and 0 <= memory < 1 and 0 < lowest <= 1 <= highest):
            raise InputError("rate must lie in (0, 1), memory in [0, 1), and lowest <= 1 <= highest")
        self.max_mi, self.rate, self.memory, self.lowest, self.highest = max_mi, rate, memory, lowest, highest
        self.register_buffer("multiplier", torch.ones(()))
        self.register_buffer("estimate", torch.zeros(()))
        self.register_buffer("observed", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def observe(self, estimate: float) -> None:
        """Take note of an estimate in nats; one that is not finite changes nothing."""
        if not math.isfinite(estimate):
            return
        kept = self.memory if int(self.observed) else 0.0
        self.estimate.mul_(kept).add_((1 - kept) * estimate)
        self.observed += 1
        excess = max(-1.0, min(1.0, float(self.estimate) / self.max_mi - 1))
        self.multiplier.mul_(math.exp(self.rate * excess)).clamp_(self.lowest, self.highest)
