"""The default of `estimate_mi`: a classifier, a copula and a network, or nearest neighbours, as the data allow."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical
from ..estimators.interface import Bound
from ..marginals import center_within
from ..normal_scores import compute_normal_scores
from ..whitening import whiten
from .classifier import cross_fit_classifier
from .closed_form import estimate_within_each_group
from .cross_fitting import compute_stderr
from .density_ratio import choose_degrees_of_freedom, cross_fit_ratio
from .discriminant import estimate_by_discriminant
from .nearest_neighbours import estimate_by_neighbours
from .result import MIEstimate, warn_of_size, warn_of_training

FEW_COLUMNS = 6  # of z and c together, up to which neighbours are asked as well
MOST_LABELS = 32  # distinct values of a side that is classified


def estimate_by_default(
    z: Tensor, c: Tensor, attribute: Attribute, groups: Tensor | None, **options: Any
) -> MIEstimate:
    """Estimate from z (n, p), encoded c (n, q) and groups (n,); options are those of `cross_fit_ratio`."""
    categorical = isinstance(attribute, Categorical)
    of_z, of_c = number_rows(z, MOST_LABELS), number_rows(c, len(z) // 50 if categorical else MOST_LABELS)
    if of_c is not None:
        return _estimate_by_classifier(z, of_c, groups, **options)
    if of_z is not None:  # information is symmetric: whichever side has few values is the one that is classified
        return _estimate_by_classifier(c, of_z, groups, **options)
    left = compute_normal_scores(z, groups)
    right = center_within(c, groups)[0] if categorical else compute_normal_scores(c, groups)
    return _estimate_by_ratio(left, right, groups, tails=not categorical, **options)


def _estimate_by_classifier(values: Tensor, labels: Tensor, groups: Tensor | None, **options: Any) -> MIEstimate:
    values = compute_normal_scores(values, groups)
    fit = cross_fit_classifier(values, labels, groups, **options)
    gain = fit.local - fit.base_local if fit.gains else torch.zeros_like(fit.local)
    local, stderr, name = fit.base_local, compute_stderr(fit.base_local), "logistic regression"
    if fit.gains:
        local, stderr, name = fit.local, fit.stderr, "classifier"
    result = MIEstimate(
        float(local.mean()), stderr, name, "lower", len(values),
        assumption="none: entropy less the cross-entropy of held-out pairs",
        alarms=warn_of_training(fit.undertrained and fit.gains, options["max_steps"]),
    )  # fmt: skip
    closed = estimate_by_discriminant(whiten(values), labels, groups)
    if closed is not None:
        result = _add_to_closed_form(result, closed, fit.base_local, gain)
    result = replace(result, value=min(result.value, compute_entropy(labels, groups)))
    apart = labels[:, None].float() * 1e3  # farther than any two normal scores
    return _consider_neighbours(result, local, values, apart, groups)


def _add_to_closed_form(result: MIEstimate, closed: MIEstimate, base: Tensor, gain: Tensor) -> MIEstimate:
    """Where few rows cost held-out pairs some of what is linear, the closed form's value and the gain beyond it."""
    if closed.value <= float(base.mean()):
        return replace(result, stderr=max(result.stderr, closed.stderr))
    value, stderr = closed.value + float(gain.mean()), math.hypot(closed.stderr, compute_stderr(gain))
    if bool(gain.any()):
        return replace(result, value=value, stderr=stderr, assumption=closed.assumption)
    return replace(closed, value=value, stderr=stderr, alarms=result.alarms)


def _estimate_by_ratio(z: Tensor, c: Tensor, groups: Tensor | None, *, tails: bool, **options: Any) -> MIEstimate:
    n = len(z)
    closed, separate = estimate_within_each_group(z, c, groups)
    dof = choose_degrees_of_freedom(z, c, groups, separate=separate, seed=options["seed"]) if tails else math.inf
    fit = cross_fit_ratio(z, c, groups, dof=dof, separate=separate, **options)
    gain = fit.local - fit.base_local if fit.gains else torch.zeros_like(fit.local)
    name, local, stderr = "Student copula", fit.base_local, compute_stderr(fit.base_local)
    alarms: tuple[str, ...] = ()
    assumption = f"scores follow a Student copula of {dof:g} degrees of freedom: no gain by a network"
    if math.isinf(dof):
        name, assumption = "Gaussian copula", "normal scores are jointly normal: no gain by a network"
    if fit.gains:
        name, local, stderr, assumption = (
            f"{name} and critic",
            fit.local,
            fit.stderr,
            "samples many beside exp(information)",
        )
        alarms = warn_of_training(fit.undertrained, options["max_steps"])
        if float(local.mean()) > math.log(n / options["n_folds"]) - 2:
            alarms += (warn_of_size(float(local.mean()), n // options["n_folds"]),)
    bound: Bound = "lower" if fit.gains else "exact"
    result = MIEstimate(float(local.mean()), stderr, name, bound, n, assumption=assumption, alarms=alarms)
    if math.isinf(dof):
        closed = replace(closed, estimator=name, assumption=assumption)
        result = _add_to_closed_form(result, closed, fit.base_local, gain)
    return _consider_neighbours(result, local, z, c, groups)


def _consider_neighbours(result: MIEstimate, local: Tensor, z: Tensor, c: Tensor, groups: Tensor | None) -> MIEstimate:
    """Nearest neighbours' estimate where columns are few and it is clearly larger: both err downwards."""
    if z.shape[1] + c.shape[1] > FEW_COLUMNS:
        return result
    near = estimate_by_neighbours(z, c, groups)
    value = float(near.mean())
    # Errors of both on the same pairs are much alike.
    if value - result.value <= 3 * compute_stderr(near - local[: len(near)]):
        return result
    assumption = "densities are constant over four neighbours"
    return MIEstimate(value, compute_stderr(near), "nearest neighbours", "exact", len(near), assumption=assumption)


def compute_entropy(labels: Tensor, groups: Tensor | None) -> float:
    """H(C|G) in nats: a limit of I(Z;C|G)."""
    cells = [labels] if groups is None else [labels + (int(labels.max()) + 1) * groups, groups]
    shares = [torch.bincount(cell).double() / len(cell) for cell in cells]
    joint, *of_groups = (float(-torch.special.xlogy(share, share).sum()) for share in shares)
    return joint - sum(of_groups)


def number_rows(values: Tensor, most: int) -> Tensor | None:
    """Number of each row among the distinct ones, or None when they are more than ``most``."""
    if len(torch.unique(values[:500], dim=0)) > most:
        return None
    distinct, labels = torch.unique(values, dim=0, return_inverse=True)
    return labels if 2 <= len(distinct) <= most else None
