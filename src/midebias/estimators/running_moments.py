"""Running mean and variance of z, in units of which a critic sees it."""

import torch
from torch import Tensor, nn

from ..arguments import check_finite
from ..deferred_reads import refuse
from ..errors import InputError


class RunningMoments(nn.Module):
    """Mean and variance of z's columns over about ten calls; an encoder cannot outrun a critic by its scale.

    ``floor`` is added to each variance, in units of their mean: a column that hardly varies is not blown up.
    """

    mean: Tensor
    variance: Tensor
    calls: Tensor

    def __init__(self, dim: int, *, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move towards those of a batch; the first call sets them."""
        weight = torch.where(self.calls == 0, 1.0, 0.1)
        self.mean.lerp_(mean.to(self.mean), weight)
        self.variance.lerp_(variance.to(self.variance), weight)
        self.calls += 1

    def standardize(self, z: Tensor) -> Tensor:
        """z less the mean, over the standard deviation; differentiable in z."""
        mean, variance = self.mean, self.variance  # looked up once: a module's attributes are slow
        return (z - mean).div_(torch.add(variance, variance.mean(), alpha=self.floor).add_(1e-12).sqrt_())


def compute_column_moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of z's columns. Raises `InputError` when they are not finite."""
    mean = z.mean(dim=0)
    variance = (z - mean).square_().mean(dim=0)  # many times faster than var along the rows
    check_finite([mean], ["z"])
    refuse(~variance.sum().isfinite(), InputError(f"z is too large: its variance overflows {z.dtype}"))
    return mean, variance
