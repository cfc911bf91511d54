"""The closed forms on all pairs, their standard error by leaving out blocks."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..attributes import Attribute
from ..estimators import Estimator, GaussianMI
from ..estimators.registry import build_estimator
from .cross_fitting import take
from .result import MIEstimate

_BLOCKS = 10


def estimate_linearly(z: Tensor, c: Tensor, groups: Tensor | None) -> MIEstimate:
    """Estimate by `GaussianMI` on z itself."""
    return _jackknife(lambda: GaussianMI(ridge=1e-6), z, c, groups, "jointly Gaussian, within groups")


def estimate_by_random_features(
    z: Tensor, c: Tensor, groups: Tensor | None, attribute: Attribute, seed: int
) -> MIEstimate:
    """Estimate by `GaussianMI` on random Fourier features of z, the same for every block."""
    n_features = max(4, min(128, len(z) // 16))

    def build() -> Estimator:
        return build_estimator("gaussian", z.shape[1], attribute, seed=seed, n_features=n_features, ridge=1e-4)

    return _jackknife(build, z, c, groups, "random features of z and c jointly Gaussian, within groups")


def estimate_within_each_group(z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[MIEstimate, bool]:
    """Estimate linearly, and say whether each group clearly has correlations of its own, which then count."""
    pooled = estimate_linearly(z, c, groups)
    if groups is None or int(torch.bincount(groups).min()) < 20 * (z.shape[1] + c.shape[1]):
        return pooled, False
    each = [estimate_linearly(z[groups == g], c[groups == g], None) for g in groups.unique()]
    weighted = list(zip((torch.bincount(groups) / len(groups)).tolist(), each, strict=True))
    value = sum(w * e.value for w, e in weighted)
    stderr = math.sqrt(sum((w * e.stderr) ** 2 for w, e in weighted))
    # Blocks of the groups are independent of each other, not of the pooled ones: this errs on the safe side.
    if value - pooled.value <= 2 * max(stderr, pooled.stderr):
        return pooled, False
    return replace(pooled, value=value, stderr=stderr), True


def estimate_by_blocks(
    compute: Callable[[int | None], float], n: int, n_blocks: int, name: str, assumption: str
) -> MIEstimate:
    """Estimate by a function of which block of rows is left out, if any, which is what the error is from."""
    full = compute(None)
    left_out = torch.tensor([compute(block) for block in range(n_blocks)])
    stderr = float(((1 - 1 / n_blocks) * (left_out - left_out.mean()).square().sum()).sqrt())
    return MIEstimate(full, stderr, name, "exact", n, assumption=assumption)


def _jackknife(
    build: Callable[[], Estimator], z: Tensor, c: Tensor, groups: Tensor | None, assumption: str
) -> MIEstimate:
    blocks = torch.arange(len(z)) % _BLOCKS

    def compute(block: int | None) -> float:
        return float(build()(*take((z, c, groups), blocks != (-1 if block is None else block))))

    return estimate_by_blocks(compute, len(z), _BLOCKS, "GaussianMI", assumption)
