"""A budget in nats, kept by dual ascent."""

import math

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..errors import InputError


class DualAscent(nn.Module):
    r"""The multiplier of the constraint I <= ``max_mi``, moved by the estimates.

    Each observed estimate moves the logarithm of the multiplier by ``rate`` times how far the running mean lies above
    the budget (at most by ``rate``, in units of the budget): the weight grows while more leaks than was allowed, and
    fades while less does. At rest either the budget is met exactly or the weight is of no more use.

    Parameters
    ----------
    max_mi : float
        Budget in nats, > 0.
    rate : float, default 0.02
        Largest change of the multiplier's logarithm at one estimate, in (0, 1).
    memory : float, default 0.9
        Decay of the running mean of the estimates, in [0, 1).
    lowest : float, default 0.01
        Lower limit of the multiplier, which starts at 1.
    highest : float, default 1000
        Upper limit of the multiplier.

    Raises
    ------
    InputError
        A number out of range.

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
    def observe(self, estimate: float | Tensor) -> None:
        """Take note of an estimate in nats; one that is not finite changes nothing."""
        estimate = torch.as_tensor(estimate, device=self.estimate.device)
        usable, kept = estimate.isfinite(), self.memory * (self.observed > 0).double()
        mean = self.estimate * kept.to(self.estimate) + ((1 - kept) * estimate).to(self.estimate)
        excess = (mean.double() / self.max_mi - 1).clamp(-1.0, 1.0)
        moved = self.multiplier * (self.rate * excess).exp().to(self.multiplier)
        self.estimate.copy_(torch.where(usable, mean, self.estimate))
        self.multiplier.copy_(torch.where(usable, moved.clamp(self.lowest, self.highest), self.multiplier))
        self.observed += usable
