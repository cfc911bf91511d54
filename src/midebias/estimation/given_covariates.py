"""I(Z;C|W) of covariates W that are quantities: what z and W tell of c beyond what W alone tells."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical
from ..covariates import CovariateRegression
from ..normal_scores import compute_normal_scores
from .auto_estimator import FEW_COLUMNS, MOST_LABELS, compute_entropy, number_rows
from .classifier import cross_fit_classifier
from .closed_form import estimate_by_random_features, estimate_linearly
from .cross_fitting import CrossFit, compute_stderr
from .density_ratio import cross_fit_ratio
from .nearest_neighbours import estimate_by_neighbours
from .permutation_test import compute_p_value_given_covariates
from .result import MIEstimate, warn_of_training


class GivenCovariates:
    r"""z (n, p) and encoded c (n, q) less what covariates w (n, k) tell of them.

    A column becomes normal scores, less their mean given w, over their deviation given w, as normal scores again. For
    each w that is an invertible map, so that the chain rule holds for the residuals whatever regressions found:

    .. math:: I(Z;C|W) = I(\tilde Z, W; \tilde C) - I(W; \tilde C)

    The better w tells means and deviations, the less is left of the second term. Labels have no residuals: of them both
    terms are large where w tells much.

    References
    ----------
    Cover and Thomas, "Elements of Information Theory", 2006, eq. 2.61.
    """

    def __init__(self, z: Tensor, c: Tensor, attribute: Attribute, w: Tensor) -> None:
        categorical, self._given = isinstance(attribute, Categorical), (z, c)
        self._w = compute_normal_scores(w)
        self._regression = CovariateRegression(self._w)
        self._left, self._right = self._standardize(z), c if categorical else self._standardize(c)
        self._labels = number_rows(c, len(z) // 50 if categorical else MOST_LABELS)
        self._values = self._left
        if self._labels is None and not categorical:  # information is symmetric
            self._labels = number_rows(z, MOST_LABELS)
            self._values = self._left if self._labels is None else self._right

    def _standardize(self, values: Tensor) -> Tensor:
        return compute_normal_scores(self._regression.standardize(compute_normal_scores(values)))

    def estimate(self, **options: Any) -> MIEstimate:
        """Estimate by classifiers or density ratios; options are those of `cross_fit_ratio`."""
        if self._labels is None:
            right = self._right - self._right.mean(dim=0)
            result, local, base = self._subtract(
                lambda side: cross_fit_ratio(side, right, None, **options), "Gaussian copula", " and critic", options
            )
            # Where few rows cost held-out pairs some of what is linear, the closed form has it.
            closed = estimate_linearly(self._left, right, None)
            if closed.value > base:
                result = replace(result, value=result.value + closed.value - base)
            return self._consider_neighbours(result, local, self._left, right)
        labels = self._labels
        result, local, _ = self._subtract(
            lambda side: cross_fit_classifier(side, labels, None, **options), "classifier", "", options
        )
        result = replace(result, value=min(result.value, compute_entropy(labels, None)))
        return self._consider_neighbours(result, local, self._values, labels[:, None].float() * 1e3)

    def estimate_by_random_features(self, attribute: Attribute, seed: int) -> MIEstimate:
        """Estimate by "gaussian" on residuals: of z with w beside them, and of c."""
        both, right = torch.cat([self._left, self._w], dim=1), self._regression.compute_residuals(self._right)
        return estimate_by_random_features(both, right, None, attribute, seed)

    def _subtract(
        self, fit: Callable[[Tensor], CrossFit], name: str, critic: str, options: dict[str, Any]
    ) -> tuple[MIEstimate, Tensor, float]:
        """The difference of both terms, what each row contributes to it, and that of the linear parts alone."""
        both, alone = fit(torch.cat([self._values, self._w], dim=1)), fit(self._w)
        gains = [f.local - f.base_local if f.gains else torch.zeros_like(f.local) for f in (both, alone)]
        base, gain = both.base_local - alone.base_local, gains[0] - gains[1]
        # What W alone tells, z and W tell: where it was not found of both, that is a fault of fitting.
        local = base + (gain if float(gain.mean()) > 0 else 0.0)
        optimism = both.optimism - alone.optimism
        result = MIEstimate(
            float(local.mean()), math.hypot(compute_stderr(local), optimism / 2),
            name + critic * (both.gains or alone.gains), "lower", len(local),
            assumption="what covariates tell of c's residuals is found, and taken off",
            alarms=warn_of_training(both.gains and both.undertrained, options["max_steps"]),
        )  # fmt: skip
        return result, local, float(base.mean())

    def _consider_neighbours(self, result: MIEstimate, local: Tensor, values: Tensor, c: Tensor) -> MIEstimate:
        """As of the estimate without covariates: nearest neighbours' where columns are few and it is clearly larger."""
        if values.shape[1] + c.shape[1] + self._w.shape[1] > FEW_COLUMNS:
            return result
        near, alone = (estimate_by_neighbours(x, c, None) for x in (torch.cat([values, self._w], dim=1), self._w))
        near = near - alone * float(alone.mean() > 0)  # information below zero is chance
        value = float(near.mean())
        if value - result.value <= 3 * compute_stderr(near - local[: len(near)]):
            return result
        assumption = "densities are constant over four neighbours"
        return MIEstimate(value, compute_stderr(near), "nearest neighbours", "exact", len(near), assumption=assumption)

    def compute_p_value(self, n_permutations: int, generator: torch.Generator) -> float:
        """Test independence given w by `compute_p_value_given_covariates`."""
        sides = self._left, self._right, self._w, self._regression
        free = min(1.0, *(self._regression.measure_freedom(compute_normal_scores(side)) for side in self._given))
        return compute_p_value_given_covariates(*sides, freedom=free, n_draws=n_permutations, generator=generator)
