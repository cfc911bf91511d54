"""`estimate_mi`: a cross-fitted estimate of mutual information with its uncertainty; `bracket_mi`: from both sides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..arguments import check_groups, check_representation, checked
from ..attributes import Attribute, Attributes, Categorical, Continuous
from ..devices import at_device
from ..errors import InputError
from ..estimators import DonskerVaradhan, GaussianMI
from ..estimators.critic_estimator import SampledEstimator
from ..estimators.registry import CRITICS, DECODERS, NetworkName
from ..marginals import center_within
from .cross_fitting import cross_fit_classifier, cross_fit_ratio, degrees_of_freedom
from .nearest_neighbours import nearest_neighbour_information
from .normal_scores import normal_scores, whitened
from .permutation_test import permutation_p_value
from .result import MIBracket, MIEstimate

__all__ = ["bracket_mi", "estimate_mi"]


EstimatorName = Literal["auto", "gaussian"] | NetworkName
_FEW_COLUMNS = 6  # of z and c together, up to which neighbours are asked as well
_LEAST_IN_FOLD = 10
_EVALUATED = 1000  # pairs at a time; what an InfoNCE estimate can reach is the logarithm of this


@checked
def estimate_mi(
    z: Tensor,
    c: Tensor,
    *,
    attribute: Attribute | None = None,
    condition_on: Tensor | None = None,
    estimator: EstimatorName = "auto",
    n_folds: int = 3,
    n_restarts: int = 1,
    max_steps: int | None = None,
    n_permutations: int = 199,
    per_attribute: bool = False,
    random_state: int = 0,
) -> MIEstimate:
    """Estimate I(Z;C), or I(Z;C|G), on pairs the estimator was not fitted on.

    Parameters
    ----------
    z : float Tensor of shape (n, dim)
    c : Tensor of shape (n,) or (n, width)
    attribute : Attribute, optional
        What c is. Default: `Categorical` for integers (with as many categories as the largest label
        says), `Continuous` for floats. Rows with a missing value are left out.
    condition_on : integer Tensor of shape (n,), optional
    estimator : str, default "auto"
        "auto": for a categorical c, or z of few values, the entropy less a classifier's cross-entropy; else a
        Donsker-Varadhan bound whose critic is the log density ratio of a normal or Student copula plus a network, and
        the copula's own value where held-out pairs show no gain by the network. With at most six columns in all,
        nearest neighbours count where they see clearly more.
        "gaussian": the linear closed form, exact for jointly Gaussian data. The others train the estimator of that
        name in ``midebias.estimators``.
    n_folds : int, default 3
        The critic is trained on all folds but one and evaluated on that one, in turn. The closed form trains nothing;
        its standard error comes from leaving out one of 10 blocks at a time.
    n_restarts : int, default 1
        Networks trained per fold by "auto"; pairs set aside from training choose one.
    max_steps : int, optional
        Critic updates per fold at most; training stops when training data set aside stop improving. Default 800 for
        "auto", else 2000.
    n_permutations : int, default 199
        Of the test of independence (see `permutation_p_value`), whichever the estimator; 0 goes without.
    per_attribute : bool, default False
        With `Attributes`, also estimate each of them by itself, on the rows that have it: ``parts``.
    random_state : int, default 0

    Returns
    -------
    MIEstimate
        In nats, with standard error, interval, p-value and alarms; not clipped at zero. Computed on the CPU, wherever
        z and c are.

    Raises
    ------
    InputError
        Wrong shapes or dtypes, NaN in z, or fewer than 100 samples with the attribute present.

    Examples
    --------
    >>> import torch
    >>> from midebias import estimate_mi
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randint(2, (400,), generator=generator)
    >>> z = c[:, None] + 0.1 * torch.randn(400, 3, generator=generator)
    >>> found = estimate_mi(z, c, max_steps=100, n_permutations=19)
    >>> abs(found.value - 0.69) < 0.1, found.bound, found.p_value    # the truth is log 2
    (True, 'lower', 0.05)
    """
    z, c, condition_on = at_device(torch.device("cpu"), z, c, condition_on)
    check_representation(z)
    check_groups(condition_on, len(z), name="condition_on")
    if n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")
    if n_restarts < 1 or n_permutations < 0 or (max_steps is not None and max_steps < 1):
        raise InputError("n_restarts and max_steps must be at least 1 and n_permutations at least 0")
    if attribute is None:
        attribute = _guess(c)
    values, present = attribute.encode(c)
    if len(values) != len(z):
        raise InputError(f"c must have {len(z)} rows like z, got {len(values)}")
    everything = z, c, condition_on
    z, values = z.detach()[present].float(), values[present]
    groups = None if condition_on is None else condition_on.long()[present]
    if len(z) < 100:
        raise InputError(f"z holds {len(z)} samples with c present; at least 100 are needed")
    if len(z) // n_folds < _LEAST_IN_FOLD:
        raise InputError(f"n_folds must leave {_LEAST_IN_FOLD} of {len(z)} samples in each fold, got {n_folds}")
    generator = torch.Generator().manual_seed(random_state)
    order = torch.randperm(len(z), generator=generator)
    z, values = z[order], values[order]
    groups = None if groups is None else groups[order]
    if estimator == "auto":
        result = _auto(z, values, attribute, groups, n_folds, n_restarts, max_steps or 800, random_state)
    elif estimator == "gaussian":
        result = _gaussian(z, values, groups)
    elif estimator == "donsker_varadhan":
        result = _donsker_varadhan(z, values, groups, n_folds, max_steps or 2000, random_state)
    elif estimator in CRITICS or estimator in DECODERS:
        result = _trained(estimator, z, values, attribute, groups, n_folds, max_steps or 2000, random_state)
    else:
        raise InputError(
            f"estimator must be 'auto', 'gaussian', or the name of a critic's estimator, got {estimator!r}"
        )
    if n_permutations:
        scores = values if isinstance(attribute, Categorical) else normal_scores(values)
        p_value = permutation_p_value(
            whitened(normal_scores(z)), whitened(scores), groups, n_permutations=n_permutations, generator=generator
        )
        result = replace(result, p_value=p_value)
    if per_attribute and isinstance(attribute, Attributes):
        z, c, condition_on = everything
        columns = c.split([part.width for part in attribute.parts], dim=1)
        parts = tuple(
            estimate_mi(
                z,
                column,
                attribute=part,
                condition_on=condition_on,
                estimator=estimator,
                n_folds=n_folds,
                n_restarts=n_restarts,
                max_steps=max_steps,
                n_permutations=n_permutations,
                random_state=random_state,
            )
            for column, part in zip(columns, attribute.parts, strict=True)
        )
        result = replace(result, parts=parts)
    return result


@checked
def bracket_mi(z: Tensor, c: Tensor, *, random_state: int = 0, **options: Any) -> MIBracket:
    """Estimate I(Z;C) from below by `estimate_mi`'s default and from above by `CLUB`, cross-fitted both.

    ``options`` are those of `estimate_mi` but ``estimator``.
    """
    lower = estimate_mi(z, c, random_state=random_state, **options)
    upper = estimate_mi(z, c, estimator="club", random_state=random_state, **options | {"n_permutations": 0})
    alarms = (*lower.alarms, *upper.alarms)
    if upper.value < lower.value - 2 * math.hypot(lower.stderr, upper.stderr):
        alarms += (
            f"The upper bound ({upper.value:.3f}) lies below the lower one ({lower.value:.3f}): CLUB's decoder does "
            "not fit c, do not trust it.",
        )
    return MIBracket(lower, upper, alarms)


def _auto(
    z: Tensor,
    c: Tensor,
    attribute: Attribute,
    groups: Tensor | None,
    n_folds: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
) -> MIEstimate:
    n = len(z)
    options = {"n_folds": n_folds, "n_restarts": n_restarts, "max_steps": max_steps, "seed": seed}
    if groups is not None:
        groups = torch.unique(groups, return_inverse=True)[1]
    of_z, of_c = _labels(z, 32), _labels(c, n // 50) if isinstance(attribute, Categorical) else _labels(c, 32)
    if of_c is not None or of_z is not None:
        # Information is symmetric: whichever side has few values is the one that is classified.
        other, labels = (z, of_c) if of_c is not None else (c, of_z)
        assert labels is not None
        other = normal_scores(other, groups)
        fit = cross_fit_classifier(whitened(other), labels, groups, **options)
        network = fit.gain > 2 * fit.gain_stderr
        result = MIEstimate(
            fit.value if network else fit.base,
            fit.stderr if network else fit.base_stderr,
            "classifier" if network else "logistic regression",
            "lower",
            n,
            assumption="none: entropy less the cross-entropy of held-out pairs",
            alarms=_alarms(fit.undertrained and network, max_steps),
        )
        apart = labels[:, None].float() * 1e3  # farther than any two normal scores
        return _or_neighbours(result, fit.local if network else fit.base_local, other, apart, groups)
    left = normal_scores(z, groups)
    right = center_within(c, groups)[0] if isinstance(attribute, Categorical) else normal_scores(c, groups)
    closed, separate = _closed_form(left, right, groups)
    dof = math.inf
    if not isinstance(attribute, Categorical):
        dof = degrees_of_freedom(left, right, groups, separate=separate, seed=seed)
    fit = cross_fit_ratio(left, right, groups, dof=dof, separate=separate, **options)
    name = "Gaussian copula" if math.isinf(dof) else "Student copula"
    # A copula of more columns than the pairs carry is far below zero: to be above it is no gain.
    if fit.gain > 2 * fit.gain_stderr and fit.value > 0:
        alarms = _alarms(fit.undertrained, max_steps)
        if fit.value > math.log(n / n_folds) - 2:
            alarms += (_too_small(fit.value, n // n_folds),)
        result = MIEstimate(
            fit.value,
            fit.stderr,
            f"{name} and critic",
            "lower",
            n,
            assumption="samples many beside exp(information)",
            alarms=alarms,
        )
        return _or_neighbours(result, fit.local, left, right, groups)
    if math.isinf(dof):
        assumption = "normal scores are jointly normal: no gain by a network"
        result = replace(closed, estimator=name, assumption=assumption)
    else:
        assumption = f"scores follow a Student copula of {dof:g} degrees of freedom: no gain by a network"
        result = MIEstimate(fit.base, fit.base_stderr, name, "exact", n, assumption=assumption)
    return _or_neighbours(result, fit.base_local, left, right, groups)


def _or_neighbours(result: MIEstimate, local: Tensor, z: Tensor, c: Tensor, groups: Tensor | None) -> MIEstimate:
    """Nearest neighbours' estimate where columns are few and it is clearly larger: both err downwards.

    ``local`` is what each pair contributes to ``result``: errors of both on the same pairs are much alike.
    """
    if z.shape[1] + c.shape[1] > _FEW_COLUMNS:
        return result
    near = nearest_neighbour_information(z, c, groups)
    more = near - local[: len(near)]
    root = math.sqrt(len(near))
    if float(near.mean()) - result.value <= 3 * float(more.std()) / root:
        return result
    return MIEstimate(
        float(near.mean()),
        float(near.std()) / root,
        "nearest neighbours",
        "exact",
        len(near),
        assumption="densities are constant over four neighbours",
    )


def _closed_form(z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[MIEstimate, bool]:
    """Of a normal distribution, and whether each group has clearly correlations of its own."""
    pooled = _gaussian(z, c, groups)
    if groups is None or int(torch.bincount(groups).min()) < 20 * (z.shape[1] + c.shape[1]):
        return pooled, False
    each = [_gaussian(z[groups == g], c[groups == g], None) for g in groups.unique()]
    share = (torch.bincount(groups) / len(groups)).tolist()
    value = sum(w * e.value for w, e in zip(share, each, strict=True))
    stderr = math.sqrt(sum((w * e.stderr) ** 2 for w, e in zip(share, each, strict=True)))
    # Blocks of the groups are independent of each other, not of the pooled ones: this errs on the safe side.
    if value - pooled.value <= 2 * max(stderr, pooled.stderr):
        return pooled, False
    return replace(pooled, value=value, stderr=stderr), True


def _alarms(undertrained: bool, max_steps: int) -> tuple[str, ...]:
    if not undertrained:
        return ()
    return (f"The critic was still improving when its {max_steps} steps ended: the value is too low, give it more.",)


def _too_small(value: float, n: int) -> str:
    return (
        f"{value:.2f} nats is near log({n}) = {math.log(n):.2f}, more than which {n} pairs cannot show: "
        "the truth may be larger."
    )


def _labels(values: Tensor, most: int) -> Tensor | None:
    """Number of each row among the distinct ones, or None when they are more than ``most``."""
    if len(torch.unique(values[:500], dim=0)) > most:
        return None
    distinct, labels = torch.unique(values, dim=0, return_inverse=True)
    return labels if 2 <= len(distinct) <= most else None


def _trained(
    name: str,
    z: Tensor,
    c: Tensor,
    attribute: Attribute,
    groups: Tensor | None,
    n_folds: int,
    max_steps: int,
    seed: int,
) -> MIEstimate:
    """Any estimator with a critic: trained on all folds but one, early stopping by its learning loss, and held out."""
    n_groups = 0 if groups is None else int(groups.max()) + 1
    z = whitened(normal_scores(z, groups))
    discrete = isinstance(attribute, Categorical)
    c = c if discrete or isinstance(attribute, Attributes) else whitened(normal_scores(c, groups))
    if isinstance(attribute, Continuous):
        attribute = Continuous(c.shape[1])
    fold = torch.arange(len(z)) % n_folds
    values, late = [], False
    model: SampledEstimator | None = None
    for k in range(n_folds):
        if name in CRITICS:
            model = CRITICS[name](z.shape[1], c.shape[1], n_groups=n_groups, seed=seed + k)
        else:
            model = DECODERS[name](z.shape[1], attribute, n_groups=n_groups, seed=seed + k)
        fit = (fold != k).nonzero().squeeze(1)
        aside, fit = fit[: len(fit) // 8], fit[len(fit) // 8 :]

        def loss(model: SampledEstimator = model, aside: Tensor = aside) -> float:
            return float(model.learning_loss(z[aside], c[aside], None if groups is None else groups[aside]))

        late = _early_stopped(model, z, c, groups, fit, loss, max_steps) or late
        with torch.no_grad():
            parts = (fold == k).nonzero().squeeze(1).split(_EVALUATED)
            for rows in [p for p in parts if len(p) >= 50] or parts:  # a small rest would be noise beside the others
                values.append(float(model(z[rows], c[rows], None if groups is None else groups[rows])))
    assert model is not None
    blocks = torch.tensor(values)
    value, stderr = float(blocks.mean()), float(blocks.std()) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    alarms = _alarms(late, max_steps)
    size = min(_EVALUATED, len(z) // n_folds)
    if name == "info_nce" and value > math.log(size) - 1.5:
        alarms += (_too_small(value, size),)
    return MIEstimate(
        value, stderr, type(model).__name__, model.bound, len(z), assumption=model.assumption, alarms=alarms
    )


def _early_stopped(
    model: Any,
    z: Tensor,
    c: Tensor,
    groups: Tensor | None,
    fit: Tensor,
    loss: Callable[[], float],
    max_steps: int,
) -> bool:
    """Train on the rows ``fit``; keep the weights of least ``loss``. Returns whether they were the last ones."""
    pairs = z[fit], c[fit], None if groups is None else groups[fit]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3, fused=True)
    best, state, at, done = math.inf, None, 0, 0
    while True:
        with torch.no_grad():
            now = loss()
        if now < best:
            best, at = now, done
            state = {key: value.clone() for key, value in nn.Module.state_dict(model).items() if key != "_extra_state"}
        if done >= max_steps or done - at >= 400:
            break
        steps = min(50, max_steps - done)
        model.update(*pairs, optimizer, steps=steps, batch_size=256)
        done += steps
    if state is not None:
        model.load_state_dict(state, strict=False)
    return at == max_steps


def _guess(c: Tensor) -> Attribute:
    if not isinstance(c, Tensor):
        raise InputError(f"c must be a torch.Tensor, got {type(c).__name__}")
    if c.is_complex() or c.ndim not in (1, 2) or c.numel() == 0:
        raise InputError(f"c must be real and of shape (n,) or (n, width), got {c.dtype} of shape {tuple(c.shape)}")
    columns = c[:, None] if c.ndim == 1 else c
    if c.is_floating_point():
        return Continuous(columns.shape[1])
    return Categorical(tuple(max(2, int(n)) for n in columns.amax(0) + 1))


def _gaussian(z: Tensor, c: Tensor, groups: Tensor | None) -> MIEstimate:
    """The closed form on everything; its standard error from leaving out one of 10 blocks at a time."""
    estimator, blocks = GaussianMI(ridge=1e-6), torch.arange(len(z)) % 10
    full = float(estimator(z, c, groups))
    left_out = torch.tensor(
        [
            float(estimator(z[blocks != b], c[blocks != b], None if groups is None else groups[blocks != b]))
            for b in range(10)
        ]
    )
    stderr = float((0.9 * (left_out - left_out.mean()).square().sum()).sqrt())
    return MIEstimate(full, stderr, "GaussianMI", "exact", len(z), assumption="jointly Gaussian, within groups")


def _donsker_varadhan(
    z: Tensor, c: Tensor, groups: Tensor | None, n_folds: int, max_steps: int, seed: int
) -> MIEstimate:
    n_groups = 0 if groups is None else int(groups.max()) + 1
    # Invertible linear maps change no information, and a critic trains best on uncorrelated unit columns.
    z, c = _whitened(z), _whitened(c)
    fold = torch.arange(len(z)) % n_folds
    values, variances, late = [], [], False
    for k in range(n_folds):
        critic = DonskerVaradhan(z.shape[1], c.shape[1], hidden=(128, 128), n_groups=n_groups, seed=seed + k)
        fit, held = (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)
        aside, fit = fit[: len(fit) // 5], fit[len(fit) // 5 :]
        for parameter in critic.critic.layers[-1].parameters():  # type: ignore[union-attr, index]  # of a JoinedCritic
            nn.init.zeros_(parameter)  # a constant critic's bound is zero: what is worse than that is not kept

        def loss(critic: DonskerVaradhan = critic, aside: Tensor = aside) -> float:
            return -_evaluate(critic, z, c, groups, aside)[0]

        late = _early_stopped(critic, z, c, groups, fit, loss, max_steps) or late
        value, variance = _evaluate(critic, z, c, groups, held)
        values.append(value)
        variances.append(variance)
    stderr = (sum(variances) / n_folds**2) ** 0.5
    return MIEstimate(
        sum(values) / n_folds,
        stderr,
        "DonskerVaradhan",
        "lower",
        len(z),
        assumption=DonskerVaradhan.assumption,
        alarms=_alarms(late, max_steps),
    )


def _whitened(values: Tensor) -> Tensor:
    """Rotate to uncorrelated unit columns; directions that do not vary are dropped."""
    centred = (values - values.mean(0)).double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    keep = eigenvalues > 1e-9 * eigenvalues.max().clamp(min=1e-30)
    if not bool(keep.any()):
        return torch.zeros(len(values), 1)
    return (centred @ (vectors[:, keep] / eigenvalues[keep].sqrt())).float()


@torch.no_grad()
def _evaluate(
    critic: DonskerVaradhan, z: Tensor, c: Tensor, groups: Tensor | None, rows: Tensor
) -> tuple[float, float]:
    """Value on these rows and its squared standard error, by the delta method over 16 permutations."""
    z, c, groups = z[rows], c[rows], None if groups is None else groups[rows]
    n, rounds = len(z), 16
    joints, weights = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for _ in range(rounds):
        joint, marginal = critic.scores(z, c, groups)
        joints += joint.double() / rounds
        weights += marginal.double().clamp(max=30).exp() / rounds
    mean = weights.mean()
    value = joints.mean() - mean.log()
    influence = joints - weights / mean
    return float(value), float(influence.var() / n)
