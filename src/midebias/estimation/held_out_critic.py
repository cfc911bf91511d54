"""Estimators with a network: trained on all folds but one, stopped early, and evaluated on the fold held out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attributes import Attribute, Attributes, Categorical, Continuous
from ..estimators import DonskerVaradhan, Estimator
from ..estimators.registry import EstimatorName, build_estimator
from ..estimators.sampled_estimator import SampledEstimator
from ..networks import EarlyStopping
from ..whitening import whiten
from .cross_fitting import split_folds
from .normal_scores import compute_normal_scores
from .result import MIEstimate, warn_of_size, warn_of_training

_EVALUATED = 1000  # pairs at a time; what an InfoNCE estimate can reach is the logarithm of this
_BATCH = 256
_ROUNDS = 16  # permutations that a Donsker-Varadhan bound is evaluated with


def estimate_by_critic(
    name: EstimatorName,
    z: Tensor,
    c: Tensor,
    attribute: Attribute,
    groups: Tensor | None,
    *,
    n_folds: int,
    max_steps: int,
    seed: int,
) -> MIEstimate:
    """Estimate by any estimator that trains a network; its learning loss on pairs set aside says when to stop."""
    z = whiten(compute_normal_scores(z, groups))
    if not isinstance(attribute, (Categorical, Attributes)):
        c = whiten(compute_normal_scores(c, groups))
        attribute = Continuous(c.shape[1])
    values, late = [], False
    model: Estimator | None = None
    for k, (fit, held) in enumerate(split_folds(len(z), n_folds)):
        model = build_estimator(name, z.shape[1], attribute, n_groups=_count_groups(groups), seed=seed + k)
        aside, fit = fit[: len(fit) // 8], fit[len(fit) // 8 :]

        def loss(model: Estimator = model, aside: Tensor = aside) -> float:
            return float(model.learning_loss(*_take(z, c, groups, aside)))

        late = _train(model, _take(z, c, groups, fit), loss, max_steps) or late
        with torch.no_grad():
            parts = held.split(_EVALUATED)
            for rows in [p for p in parts if len(p) >= 50] or parts:  # a small rest would be noise beside the others
                values.append(float(model(*_take(z, c, groups, rows))))
    assert model is not None
    blocks = torch.tensor(values)
    value, stderr = float(blocks.mean()), float(blocks.std()) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    alarms = warn_of_training(late, max_steps)
    size = min(_EVALUATED, len(z) // n_folds)
    if name == "info_nce" and value > math.log(size) - 1.5:
        alarms += (warn_of_size(value, size),)
    assumption = getattr(model, "assumption", "")
    return MIEstimate(value, stderr, type(model).__name__, model.bound, len(z), assumption=assumption, alarms=alarms)


def estimate_by_donsker_varadhan(
    z: Tensor, c: Tensor, groups: Tensor | None, *, n_folds: int, max_steps: int, seed: int
) -> MIEstimate:
    """Estimate by the Donsker-Varadhan bound, whose value on pairs set aside says when to stop."""
    # Invertible linear maps change no information, and a critic trains best on uncorrelated unit columns.
    z, c = whiten(z), whiten(c)
    values, variances, late = [], [], False
    for k, (fit, held) in enumerate(split_folds(len(z), n_folds)):
        critic = DonskerVaradhan(
            z.shape[1], c.shape[1], hidden=(128, 128), n_groups=_count_groups(groups), seed=seed + k
        )
        aside, fit = fit[: len(fit) // 5], fit[len(fit) // 5 :]
        for parameter in critic.critic.layers[-1].parameters():  # type: ignore[union-attr, index]  # of a JoinedCritic
            nn.init.zeros_(parameter)  # a constant critic's bound is zero: what is worse than that is not kept

        def loss(critic: DonskerVaradhan = critic, aside: Tensor = aside) -> float:
            return -_evaluate(critic, *_take(z, c, groups, aside))[0]

        late = _train(critic, _take(z, c, groups, fit), loss, max_steps) or late
        value, variance = _evaluate(critic, *_take(z, c, groups, held))
        values.append(value)
        variances.append(variance)
    return MIEstimate(
        sum(values) / n_folds,
        (sum(variances) / n_folds**2) ** 0.5,
        "DonskerVaradhan",
        "lower",
        len(z),
        assumption=DonskerVaradhan.assumption,
        alarms=warn_of_training(late, max_steps),
    )


def _count_groups(groups: Tensor | None) -> int:
    return 0 if groups is None else int(groups.max()) + 1


def _take(z: Tensor, c: Tensor, groups: Tensor | None, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    return z[rows], c[rows], None if groups is None else groups[rows]


def _train(
    model: Estimator, pairs: tuple[Tensor, Tensor, Tensor | None], loss: Callable[[], float], max_steps: int
) -> bool:
    """Train on pairs and keep the weights of least ``loss``. Returns whether they were the last ones."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3, fused=True)
    stopping, done, generator = EarlyStopping(model, patience=400), 0, torch.Generator().manual_seed(0)
    while True:
        with torch.no_grad():
            stop = stopping.observe(loss(), done)
        if stop or done >= max_steps:
            break
        steps = min(50, max_steps - done)
        _update(model, pairs, optimizer, steps, generator)
        done += steps
    stopping.restore()
    return stopping.step == max_steps


def _update(
    model: Estimator,
    pairs: tuple[Tensor, Tensor, Tensor | None],
    optimizer: torch.optim.Optimizer,
    steps: int,
    generator: torch.Generator,
) -> None:
    if isinstance(model, SampledEstimator):
        model.update(*pairs, optimizer, steps=steps, batch_size=_BATCH)
        return
    for _ in range(steps):
        rows = torch.randint(len(pairs[0]), (_BATCH,), generator=generator)
        model.update(*_take(*pairs, rows), optimizer)


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
    value = joints.mean() - mean.log()
    influence = joints - weights / mean
    return float(value), float(influence.var() / n)
