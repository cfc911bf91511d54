"""How the gradient of the mutual information meets the gradient of the task at a representation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .protocols import InputError

__all__ = ["Balance", "GradientBalance"]

Balance = Literal["none", "norm"]


class GradientBalance(nn.Module):
    """The factor by which g_mi is scaled before it joins g_task at one representation.

    - ``"none"``: ``weight``; the result is the gradient of the added loss.
    - ``"norm"``: g_mi is first given the length that g_task has had lately, so that ``weight`` is a ratio
      of gradient lengths and means the same for every network, loss and estimator. "Lately" is a running
      mean: with the length of the same batch the penalty would die together with the task loss.

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
    def forward(self, g_task: Tensor, mi_length: Tensor, weight: float) -> Tensor:
        """Factor for g_mi.

        Parameters
        ----------
        g_task : Tensor
            Gradient of the task at the representation.
        mi_length : scalar Tensor
            Length of g_mi there.
        weight : float
        """
        if self.mode == "none":
            return torch.full_like(mi_length, weight)
        # bfloat16 has the range of float32 and is summed in it; float16 is not safe to square.
        wide = g_task.float() if g_task.dtype == torch.float16 else g_task
        norm = torch.linalg.vector_norm(wide).float()
        first = self.steps == 0
        step = torch.where(first, 1.0, 1 - self.memory)
        usable = torch.isfinite(norm)
        self.task_norm.lerp_(torch.where(usable, norm, self.task_norm), step)
        self.steps += usable.long()
        factor = weight * self.task_norm / mi_length.clamp(min=1e-20)
        return torch.where(mi_length > 0, factor, torch.zeros_like(factor))
