"""The gradient of the penalty meets the task's at a representation, with a length of its own."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..distributed import Ranks
from ..errors import InputError
from ..representations import Summary


class GradientBalance(nn.Module):
    """The factor by which g_mi is scaled before it joins g_task at one representation.

    g_mi is given the length that g_task has had lately, times a ratio, which therefore means the same for every
    network, loss and estimator. "Lately" is a running mean over the batches before: with the length of the same batch
    the penalty would die together with the task loss.

    Parameters
    ----------
    ratio : float, default 1.0
        Length of the penalty's gradient over the task's, >= 0.
    memory : float, default 0.99
        Decay of the running mean of the task gradient's length, in [0, 1).

    Raises
    ------
    InputError
        A number out of range.
    """

    task_norm: Tensor
    steps: Tensor

    def __init__(self, ratio: float = 1.0, *, memory: float = 0.99) -> None:
        super().__init__()
        if not 0 <= ratio < math.inf:
            raise InputError(f"gradient_ratio must be at least 0 and finite, got {ratio}")
        if not 0 <= memory < 1:
            raise InputError(f"memory must lie in [0, 1), got {memory}")
        self.ratio, self.memory = ratio, memory
        self.register_buffer("task_norm", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, task_length: Tensor, mi_length: Tensor, multiplier: float | Tensor) -> Tensor:
        """Factor for g_mi.

        Parameters
        ----------
        task_length, mi_length : scalar Tensor
            Lengths of both gradients; the task's counts at first only.
        multiplier : float or Tensor
            Of the ratio.
        """
        first = torch.where(torch.isfinite(task_length), task_length, 0.0)
        lately = torch.where(self.steps == 0, first, self.task_norm)
        factor = self.ratio * multiplier * lately / mi_length.clamp(min=1e-20)
        return torch.where(mi_length > 0, factor, 0.0)

    @torch.no_grad()
    def observe(self, task_length: Tensor) -> None:
        """Take note of a batch's ``task_length``; one that is not finite changes nothing."""
        step = torch.where(self.steps == 0, 1.0, 1 - self.memory)
        usable = torch.isfinite(task_length)
        self.task_norm.lerp_(torch.where(usable, task_length, self.task_norm), step)
        self.steps += usable.long()


def check_task_loss(task_loss: Tensor, representations: Sequence[Tensor]) -> None:
    """Raise `InputError` unless the loss is a scalar, and the representations take part in a gradient."""
    if not isinstance(task_loss, Tensor) or task_loss.numel() != 1:
        raise InputError("task_loss must be a scalar torch.Tensor")
    if not all(h.requires_grad for h in representations):
        raise InputError("z needs a gradient: pass the encoder's output itself, not detached")


def join_gradients(
    task_loss: Tensor,
    representations: Sequence[Tensor],
    summaries: Sequence[Summary],
    gradients: Sequence[Tensor],
    balances: Iterable[nn.Module],
    multipliers: Sequence[float | Tensor],
    ranks: Ranks | None,
    scale: float | Tensor = 1.0,
) -> list[Tensor]:
    """Backpropagate ``task_loss``; where its gradient arrives at a representation, the penalty's joins it.

    ``gradients`` are those of the estimates at the summaries; ``multipliers`` are of the balances' ratios. With
    ``ranks`` lengths are those over the rows of all of them. ``scale`` is in ``task_loss`` and comes to the penalty's
    gradients, but not to the lengths that are remembered. Returns what each gradient was multiplied by beside it.
    """
    mi_lengths = [summary.gradient_norm(g).float() for summary, g in zip(summaries, gradients, strict=True)]
    if ranks is not None:
        mi_lengths = ranks.combine_lengths(*mi_lengths)
    every = cast("list[GradientBalance]", list(balances))
    task_lengths: dict[int, Tensor] = {}
    factors: dict[int, Tensor] = {}

    def join(k: int, g_task: Tensor) -> Tensor:
        length = task_lengths[k] = _measure_length(g_task) / scale
        if ranks is not None and int(every[k].steps) == 0:
            (length,) = ranks.combine_lengths(length)
        factors[k] = every[k](length, mi_lengths[k], multipliers[k])
        return summaries[k].add_gradient(g_task, gradients[k] * (factors[k] * scale))

    handles = [h.register_hook(partial(join, k)) for k, h in enumerate(representations)]
    try:
        task_loss.backward()
    finally:
        for handle in handles:
            handle.remove()
    for k in range(len(representations)):
        if k not in task_lengths:
            raise InputError(f"task_loss does not depend on z[{k}]: nothing to balance against")
    # At the end, where ranks have just met over the encoder's gradient: all of them together, and nobody waits.
    lengths = [task_lengths[k] for k in range(len(representations))]
    for balance, length in zip(every, ranks.combine_lengths(*lengths) if ranks else lengths, strict=True):
        balance.observe(length)
    return [factors[k] for k in range(len(representations))]


def _measure_length(gradient: Tensor) -> Tensor:
    # bfloat16 has the range of float32 and is summed in it; float16 is not safe to square.
    wide = gradient.float() if gradient.dtype == torch.float16 else gradient
    return torch.linalg.vector_norm(wide).float()
