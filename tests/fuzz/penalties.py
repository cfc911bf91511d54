"""The grid of tasks, attributes, estimators, criteria and dtypes: a penalty is finite, or refuses in clear words."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midebias import FeatureMap, MIPenalty, Tokens
from midebias.attributes import Attribute, Attributes, Categorical, Continuous
from midebias.estimators import GaussianMI

from .runner import BrokenPromise, Target

__all__ = ["ATTRIBUTES", "CRITERIA", "DTYPES", "ESTIMATORS", "SCALES", "TARGETS", "TASKS", "check_penalty"]

TASKS = ("binary", "classes", "regression")
ATTRIBUTES = ("binary", "categories", "continuous", "mixed", "missing")
ESTIMATORS = (
    "prequential",
    "gaussian_learned", "gaussian", "gaussian_linear", "donsker_varadhan", "nwj", "jensen_shannon", "smile",
    "info_nce",
    "club", "barber_agakov", "own",
)  # fmt: skip
CRITERIA = ("separation", "independence")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SCALES = ("plain", "constant", "duplicated", "large", "tiny", "outlier", "sparse", "tells all")


def _attribute(kind: str, n: int, g: torch.Generator) -> tuple[Attribute, Tensor]:
    two, five = torch.randint(2, (n,), generator=g), torch.randint(5, (n,), generator=g)
    real = torch.randn(n, generator=g)
    if kind == "binary":
        return Categorical(2), two
    if kind == "categories":
        return Categorical((2, 5)), torch.stack([two, five], dim=1)
    if kind == "continuous":
        return Continuous(2), torch.stack([real, real.square()], dim=1)
    mixed = torch.stack([five.float(), real], dim=1)
    if kind == "missing":
        mixed[torch.rand(n, generator=g) < 0.4] = math.nan
    return Attributes(Categorical(5), Continuous(1)), mixed


def _representation(scale: str, n: int, dim: int, c: Tensor, g: torch.Generator) -> Tensor:
    z = torch.randn(n, dim, generator=g)
    if scale == "constant":
        return torch.full_like(z, 0.3)
    if scale == "duplicated":
        return z[: max(1, n // 8)].repeat(16, 1)[:n]
    if scale == "large":
        return z * 1e3
    if scale == "tiny":
        return z * 1e-6
    if scale == "outlier":
        return torch.cat([z[:-1], z[-1:] * 1e4]) if n else z
    if scale == "sparse":
        return z.relu() * (torch.rand(n, dim, generator=g) < 0.1)
    if scale == "tells all":
        return c.reshape(n, c[:1].numel() if n else 1)[:, :1].nan_to_num(0).float().expand(n, dim).clone()
    return z


def check_penalty(
    task: str, kind: str, estimator: str, criterion: Any, dtype: torch.dtype, *, scale: str = "plain", n: int = 48,
    dim: int = 3, seed: int = 0, balanced: bool = False,
) -> MIPenalty:  # fmt: skip
    """Three calls in training and one in evaluation: estimates and gradients finite, never below zero.

    Raises
    ------
    InputError
        What the penalty refuses.
    BrokenPromise
        Where it did not, and should have, or is not finite.
    """
    g = torch.Generator().manual_seed(seed)
    attribute, c = _attribute(kind, n, g)
    z = _representation(scale, n, dim, c, g).to(dtype)
    y = (
        torch.randn(n, generator=g)
        if task == "regression"
        else torch.randint(2 if task == "binary" else 7, (n,), generator=g)
    )
    options: dict[str, Any] = {"critic_steps": 1, "critic_warmup": 1, "bank": 64, "seed": seed % 7}
    if task == "regression" and criterion == "separation":
        options["condition_on"] = lambda values: torch.bucketize(values, torch.tensor([-0.5, 0.5]))
    built: Any = estimator if estimator != "own" else lambda width, of_c: GaussianMI(features="random", n_features=8)
    penalty = MIPenalty(dim, attribute, criterion=criterion, estimator=built, **options)
    for call in range(4):
        penalty.train(call < 3)
        leaf = z.clone().requires_grad_()
        if balanced:
            total = penalty.backward(leaf.float().square().mean(), leaf, c, y)
        else:
            total = penalty(leaf, c, y)
            total.backward()
        if not bool(torch.isfinite(total)) or total.item() < 0 or total.ndim:
            raise BrokenPromise(f"the estimate is {total}")
        if leaf.grad is None or leaf.grad.dtype != dtype or not bool(torch.isfinite(leaf.grad).all()):
            raise BrokenPromise(f"the gradient is {leaf.grad}")
        missing = c.isnan().any(dim=1) if c.is_floating_point() and c.ndim == 2 else torch.zeros(n, dtype=torch.bool)
        if not balanced and bool(leaf.grad[missing].any()):
            raise BrokenPromise("a row without an attribute has a gradient")
    for name, value in penalty.named_buffers():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BrokenPromise(f"{name} is not finite")
    for name, weight in penalty.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise BrokenPromise(f"{name} is not finite")
    return penalty


def _grid(rng: random.Random, folder: Path) -> None:
    check_penalty(
        rng.choice(TASKS), rng.choice(ATTRIBUTES), rng.choice(ESTIMATORS), rng.choice(CRITERIA), rng.choice(DTYPES),
        scale=rng.choice(SCALES), n=rng.choice((0, 1, 2, 3, 5, 17, 48, 48, 130)), dim=rng.choice((1, 3, 20)),
        seed=rng.randrange(2**20), balanced=rng.random() < 0.3,
    )  # fmt: skip


def _shapes(rng: random.Random, folder: Path) -> None:
    """Feature maps and tokens."""
    n, g = rng.choice((0, 2, 40)), torch.Generator().manual_seed(rng.randrange(2**20))
    dtype = rng.choice(DTYPES)
    maps = (torch.randn(n, 4, 3, 5, generator=g) * rng.choice((1.0, 100.0, 0.0))).to(dtype)
    tokens = torch.randn(n, 7, 3, generator=g).to(dtype)
    z = torch.randn(n, 3, generator=g).to(dtype)
    leaves = [h.clone().requires_grad_() for h in (maps, tokens, z)]
    penalty = MIPenalty(
        [FeatureMap(4), Tokens(3), 3],
        Categorical(2),
        estimator=rng.choice(ESTIMATORS[:3]),
        criterion=rng.choice(CRITERIA),
    )
    c, y = torch.randint(2, (n,), generator=g), torch.randint(3, (n,), generator=g)
    if rng.random() < 0.5:
        penalty(leaves, c, y).backward()
    else:
        penalty.backward(torch.stack([h.float().square().sum() for h in leaves]).sum(), leaves, c, y)
    if not all(h.grad is not None and bool(torch.isfinite(h.grad).all()) for h in leaves):
        raise BrokenPromise("a gradient is not finite")


_NAMED = ("z", "c ", "y ", "estimator", "task_loss")
TARGETS = {t.name: t for t in (Target("penalty grid", _grid, _NAMED), Target("penalty shapes", _shapes, _NAMED))}
