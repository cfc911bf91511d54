"""The length of the penalty's gradient beside the task's, where both meet at a representation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["GradientBalance", "gradient_length"]


class GradientBalance(nn.Module):
    """The factor by which g_mi is scaled before it joins g_task at one representation.

    g_mi is given the length that g_task has had lately, times a ratio, which therefore means the same for every
    network, loss and estimator. "Lately" is a running mean over the batches before: with the length of the same batch
    the penalty would die together with the task loss.

    Parameters
    ----------
    memory : float, default 0.99
        Decay of the running mean of the task gradient's length, in [0, 1).

    Raises
    ------
    InputError
        When memory is out of range.
    """

    task_norm: Tensor
    steps: Tensor

    def __init__(self, *, memory: float = 0.99) -> None:
        super().__init__()
        if not 0 <= memory < 1:
            raise InputError(f"memory must lie in [0, 1), got {memory}")
        self.memory = memory
        self.register_buffer("task_norm", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, task_length: Tensor, mi_length: Tensor, ratio: float) -> Tensor:
        """Factor for g_mi, from the lengths (scalar tensors) of both gradients; the task's counts at first only."""
        first = torch.where(torch.isfinite(task_length), task_length, torch.zeros_like(task_length))
        factor = ratio * torch.where(self.steps == 0, first, self.task_norm) / mi_length.clamp(min=1e-20)
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
