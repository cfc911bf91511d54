"""Estimators with a network: trained on all folds but one, stopped early, and evaluated on the fold held out."""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..attributes import Attribute, Attributes, Categorical, Continuous
from ..estimators import DonskerVaradhan, Estimator
from ..estimators.registry import EstimatorName, build_estimator
from ..estimators.sampled_estimator import SampledEstimator
from ..networks import EarlyStopping
from ..normal_scores import compute_normal_scores
from ..whitening import whiten
from .cross_fitting import Pairs, compute_stderr, split_folds, take
from .result import MIEstimate, warn_of_size, warn_of_training

_EVALUATED = 1000  # pairs at a time; what an InfoNCE estimate can reach is the logarithm of this
_BATCH, _EVERY = 256, 50
_ROUNDS = 16  # permutations that a Donsker-Varadhan bound is evaluated with

_Model = TypeVar("_Model", bound=Estimator)


def estimate_by_critic(
    name: EstimatorName, pairs: Pairs, attribute: Attribute, *, n_folds: int, max_steps: int, seed: int
) -> MIEstimate:
    """Estimate by any estimator that trains a network; its learning loss on pairs set aside says when to stop."""
    z, c, groups = pairs
    z = whiten(compute_normal_scores(z, groups))
    if not isinstance(attribute, (Categorical, Attributes)):
        c = whiten(compute_normal_scores(c, groups))
        attribute = Continuous(c.shape[1])
    pairs = z, c, groups

    def build(fold: int, n_groups: int) -> Estimator:
        return build_estimator(name, z.shape[1], attribute, n_groups=n_groups, seed=seed + fold)

    def loss(model: Estimator, pairs: Pairs) -> float:
        return float(model.learning_loss(*pairs))

    values, late = [], []
    for model, held, undertrained in _train_in_folds(build, loss, pairs, 8, n_folds, max_steps):
        late.append(undertrained)
        with torch.no_grad():
            parts = held.split(_EVALUATED)
            for rows in [p for p in parts if len(p) >= 50] or parts:  # a small rest would be noise beside the others
                values.append(float(model(*take(pairs, rows))))
    blocks = torch.tensor(values)
    value, stderr = float(blocks.mean()), compute_stderr(blocks) if len(blocks) > 1 else math.inf
    alarms, size = warn_of_training(any(late), max_steps), min(_EVALUATED, len(z) // n_folds)
    if name == "info_nce" and value > math.log(size) - 1.5:
        alarms += (warn_of_size(value, size),)
    return MIEstimate(
        value, stderr, type(model).__name__, model.bound, len(z), assumption=getattr(model, "assumption", ""),
        alarms=alarms,
    )  # fmt: skip


def estimate_by_donsker_varadhan(pairs: Pairs, *, n_folds: int, max_steps: int, seed: int) -> MIEstimate:
    """Estimate by the Donsker-Varadhan bound, whose value on pairs set aside says when to stop."""
    # Invertible linear maps change no information, and a critic trains best on uncorrelated unit columns.
    z, c, groups = whiten(pairs[0]), whiten(pairs[1]), pairs[2]
    pairs = z, c, groups

    def build(fold: int, n_groups: int) -> DonskerVaradhan:
        critic = DonskerVaradhan(z.shape[1], c.shape[1], hidden=(128, 128), n_groups=n_groups, seed=seed + fold)
        for parameter in critic.critic.layers[-1].parameters():  # type: ignore[union-attr, index]  # of a JoinedCritic
            nn.init.zeros_(parameter)  # a constant critic's bound is zero: what is worse than that is not kept
        return critic

    def loss(critic: DonskerVaradhan, aside: Pairs) -> float:
        return -_evaluate(critic, *aside)[0]

    folds = [
        (*_evaluate(critic, *take(pairs, held)), late)
        for critic, held, late in _train_in_folds(build, loss, pairs, 5, n_folds, max_steps)
    ]
    values, variances, late = zip(*folds, strict=True)
    return MIEstimate(
        sum(values) / n_folds, (sum(variances) / n_folds**2) ** 0.5, "DonskerVaradhan", "lower", len(z),
        assumption=DonskerVaradhan.assumption, alarms=warn_of_training(any(late), max_steps),
    )  # fmt: skip


def _train_in_folds(
    build: Callable[[int, int], _Model], loss: Callable[[_Model, Pairs], float], pairs: Pairs, share: int, n: int,
    most: int,
) -> Iterator[tuple[_Model, Tensor, bool]]:  # fmt: skip
    """Train a model for each of n folds, ``most`` steps; yield it, the rows held out, and whether it still improved.

    Those weights are kept that make ``loss`` least on pairs set aside, one in ``share``.
    """
    for fold, (fit, held) in enumerate(split_folds(len(pairs[0]), n)):
        model = build(fold, 0 if pairs[2] is None else int(pairs[2].max()) + 1)
        aside, known = (take(pairs, rows) for rows in (fit[: len(fit) // share], fit[len(fit) // share :]))
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3, fused=True)
        stopping, generator = EarlyStopping(model, patience=400), torch.Generator().manual_seed(0)
        for done in [*range(0, most, _EVERY), most]:
            with torch.no_grad():
                stop = stopping.observe(loss(model, aside), done)
            if stop or done == most:
                break
            steps = min(_EVERY, most - done)
            if isinstance(model, SampledEstimator):
                model.update(*known, optimizer, steps=steps, batch_size=_BATCH)
                continue
            for _ in range(steps):
                rows = torch.randint(len(known[0]), (_BATCH,), generator=generator)
                model.update(*take(known, rows), optimizer)
        stopping.restore()
        yield model, held, stopping.step == most


@torch.no_grad()
def _evaluate(critic: DonskerVaradhan, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[float, float]:
    """Value on these pairs and its squared standard error, by the delta method over permutations."""
    n = len(z)
    joints, weights = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for _ in range(_ROUNDS):
        joint, marginal = critic.scores(z, c, groups)
        joints += joint.double() / _ROUNDS
        weights += marginal.double().clamp(max=30).exp() / _ROUNDS
    mean = weights.mean()
    return float(joints.mean() - mean.log()), float((joints - weights / mean).var() / n)
