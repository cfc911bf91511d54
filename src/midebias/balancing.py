"""How the gradient of the mutual information meets the gradient of the task at a representation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .protocols import InputError

__all__ = ["Balance", "GradientBalance"]

Balance = Literal["none", "norm"]


class GradientBalance(nn.Module):
    """Combine g_task and g_mi at one representation.

    - ``"none"``: ``g_task + weight * g_mi``, the gradient of the added loss.
    - ``"norm"``: g_mi is first given the norm that g_task has had lately, so that ``weight`` is a ratio
      of gradient lengths and means the same for every network, loss and estimator. "Lately" is a running
      mean: with the norm of the same batch the penalty would die together with the task loss.

    Parameters
    ----------
    mode : {"none", "norm"}, default "norm"
    memory : float, default 0.99
        Decay of the running mean of the task gradient's norm, in [0, 1).
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
    def forward(self, g_task: Tensor, g_mi: Tensor, weight: float) -> Tensor:
        """Combined gradient, shaped and typed like ``g_task``."""
        if self.mode == "none":
            return torch.add(g_task, g_mi.to(g_task.dtype), alpha=weight)
        norm = torch.linalg.vector_norm(g_task, dtype=torch.float32)
        if torch.isfinite(norm):
            first = int(self.steps) == 0
            self.task_norm.lerp_(norm, 1.0 if first else 1 - self.memory)
            self.steps += 1
        length = torch.linalg.vector_norm(g_mi, dtype=torch.float32)
        factor = weight * self.task_norm / length.clamp(min=1e-20)
        factor = torch.where(length > 0, factor, torch.zeros_like(factor))
        return g_task + (g_mi * factor).to(g_task.dtype)
