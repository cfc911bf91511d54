"""`estimate_mi`: a cross-fitted estimate of mutual information with its uncertainty; `bracket_mi`: from both sides."""

import math
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from ..arguments import checked
from ..attributes import Attribute, Categorical, split_attribute
from ..errors import InputError
from ..estimators.registry import EstimatorName
from ..normal_scores import compute_normal_scores
from ..whitening import whiten
from .auto_estimator import estimate_by_default
from .closed_form import estimate_by_random_features, estimate_linearly
from .given_covariates import GivenCovariates
from .held_out_critic import estimate_by_critic, estimate_by_donsker_varadhan
from .inputs import read_attribute, read_conditions, read_representation
from .permutation_test import compute_p_value
from .result import MIBracket, MIEstimate

_LEAST_ROWS, _LEAST_IN_FOLD = 100, 10


@checked
def estimate_mi(
    z: Any,
    c: Any,
    *,
    attribute: Attribute | None = None,
    condition_on: Any = None,
    estimator: EstimatorName | Literal["auto"] = "auto",
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
    z : tensor, array, frame or lists of shape (n, dim)
        The representation.
    c : tensor, array, series or list of shape (n,) or (n, width), frame, or mapping of names to them
        The attribute, or several. Rows with a missing value are left out: NaN, None, or empty text, and -1 among the
        labels of a `Categorical` that is given as ``attribute``.
    attribute : Attribute, optional
        What c is. Default: text, booleans and whole numbers of at most 20 distinct values are `Categorical`, integers
        with as many categories as the largest label says; other numbers are `Continuous`. Integers of more distinct
        values may be labels or a quantity, and are refused without it.
    condition_on : tensor, array, series or list of shape (n,) or (n, k), frame, or mapping of names to them, optional
        What is given, without a missing value. Integers, text, and whole numbers of at most 20 distinct values are
        labels G, those of several columns jointly; other numbers are quantities W, as are labels beside them. Given
        quantities, z and c become their residuals (see Notes), and "auto", "gaussian_linear" and "gaussian" alone can
        be asked.
    estimator : str, default "auto"
        "auto": for a categorical c, or z of few values, the entropy less a classifier's cross-entropy; else a
        Donsker-Varadhan bound whose critic is the log density ratio of a normal or Student copula, a regression and a
        network. Their parts are weighed on held-out pairs. Where columns are many beside rows, what is linear is read
        in closed form. With at most six columns in all, nearest neighbours count where they see clearly more. The other
        names are those of `MIPenalty`:
        "gaussian_linear", the closed form on z itself, is exact for jointly Gaussian data; "gaussian" is the closed
        form on random Fourier features of z; the others train the estimator of that name in ``midebias.estimators``.
    n_folds : int, default 3
        Networks are trained on all folds but one and evaluated on that one, in turn. The closed forms train nothing;
        their standard error comes from leaving out one of 10 blocks at a time.
    n_restarts : int, default 1
        Networks trained per fold by "auto"; pairs set aside from training choose one.
    max_steps : int, optional
        Updates of the network per fold at most; training stops when training data set aside stop improving. Default 800
        for "auto", else 2000.
    n_permutations : int, default 199
        Of the test of independence (see `compute_p_value`), whichever the estimator; 0 goes without.
    per_attribute : bool, default False
        Also estimate each of several attributes by itself, on the rows that have it: ``parts``.
    random_state : int, default 0
        Seeds folds, networks and permutations.

    Returns
    -------
    MIEstimate
        In nats, with standard error, interval, p-value and alarms; not clipped at zero. Computed on the CPU, wherever
        z and c are.

    Raises
    ------
    InputError
        Wrong shapes or kinds, NaN in z, or fewer than 100 samples with the attribute present.

    Notes
    -----
    Given quantities W, columns of z and of a quantity c become normal scores of what ridge regressions on functions of
    W leave of them, over their deviation given W. Each row is predicted without itself. "auto" is then the estimate of
    what these residuals and W together tell of c less that of W alone: I(Z;C|W) by the chain rule, too low where the
    first misses something and too high where the second does. "gaussian" reads the residuals, too; "gaussian_linear"
    takes linear functions of W off z and c: exact for jointly Gaussian z, c and W. The p-value given quantities is by
    random signs of products of residuals, not by permutation: valid as rows grow, if either side's dependence on W is
    smooth enough to be found.

    References
    ----------
    Shah and Peters, "The hardness of conditional independence testing and the generalised covariance measure", Annals
    of Statistics 2020.

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
    z = read_representation(z)
    c, attribute = read_attribute(c, len(z), attribute)
    given = read_conditions(condition_on, len(z), "condition_on")
    if n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")
    if n_restarts < 1 or n_permutations < 0 or (max_steps is not None and max_steps < 1):
        raise InputError("n_restarts and max_steps must be at least 1 and n_permutations at least 0")
    options = estimator, n_folds, n_restarts, max_steps, n_permutations, random_state
    result = _estimate(z, c, attribute, given, *options)
    parts = split_attribute(attribute) if per_attribute else ()
    if len(parts) < 2:
        return result
    columns = c.reshape(len(z), -1).split([part.width for part in parts], dim=1)
    each = (_estimate(z, column, part, given, *options) for column, part in zip(columns, parts, strict=True))
    return replace(result, parts=tuple(each))


@checked
def bracket_mi(z: Any, c: Any, *, random_state: int = 0, **options: Any) -> MIBracket:
    """Estimate I(Z;C) from below by `estimate_mi`'s default and from above by `CLUB`, cross-fitted both.

    Parameters
    ----------
    z, c : tensor, array, frame, series or list
        As in `estimate_mi`.
    random_state : int, default 0
        Seeds folds, networks and permutations.
    **options : Any
        Those of `estimate_mi` but ``estimator``.

    Returns
    -------
    MIBracket

    Raises
    ------
    InputError
        As `estimate_mi`.
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


def _estimate(
    z: Tensor, c: Tensor, attribute: Attribute, groups: Tensor | None, estimator: str, n_folds: int, n_restarts: int,
    max_steps: int | None, n_permutations: int, seed: int,
) -> MIEstimate:  # fmt: skip
    values, present = attribute.encode(c)
    if len(values) != len(z):
        raise InputError(f"c has {len(values)} rows, z has {len(z)}")
    kept = present.nonzero().squeeze(1)
    n = len(kept)
    if n < _LEAST_ROWS:
        raise InputError(f"z holds {n} samples with c present; at least {_LEAST_ROWS} are needed")
    if n // n_folds < _LEAST_IN_FOLD:
        raise InputError(f"n_folds must leave {_LEAST_IN_FOLD} of {n} samples in each fold, got {n_folds}")
    generator = torch.Generator().manual_seed(seed)
    order = kept[torch.randperm(n, generator=generator)]
    z, values = z[order].float(), values[order]
    covariates: GivenCovariates | None = None
    if groups is not None and groups.is_floating_point():
        if estimator not in ("auto", "gaussian_linear", "gaussian"):
            raise InputError(
                f"estimator {estimator!r} conditions on labels alone, and condition_on holds a quantity: "
                "take 'auto', 'gaussian' or 'gaussian_linear'"
            )
        groups = groups[order]
        covariates = GivenCovariates(z, values, attribute, groups)
    elif groups is not None:
        groups = torch.unique(groups[order], return_inverse=True)[1]
    training: dict[str, Any] = {"n_folds": n_folds, "max_steps": max_steps or 2000, "seed": seed}
    if estimator == "auto":
        training |= {"max_steps": max_steps or 800, "n_restarts": n_restarts}
        if covariates is None:
            result = estimate_by_default(z, values, attribute, groups, **training)
        else:
            result = covariates.estimate(**training)
    elif estimator == "gaussian_linear":
        result = estimate_linearly(z, values, groups)
    elif estimator == "gaussian":
        if covariates is None:
            result = estimate_by_random_features(z, values, groups, attribute, seed)
        else:
            result = covariates.estimate_by_random_features(attribute, seed)
    elif estimator == "donsker_varadhan":
        result = estimate_by_donsker_varadhan((z, values, groups), **training)
    elif estimator == "prequential":
        raise InputError("estimator 'prequential' reads batch after batch, in MIPenalty; here take 'auto'")
    elif estimator in get_args(EstimatorName):
        result = estimate_by_critic(cast(EstimatorName, estimator), (z, values, groups), attribute, **training)
    else:
        names = ("auto", *get_args(EstimatorName))
        raise InputError(f"estimator must be one of {', '.join(map(repr, names))}, got {estimator!r}")
    if not n_permutations:
        return result
    if covariates is not None:
        return replace(result, p_value=covariates.compute_p_value(n_permutations, generator))
    scores = values if isinstance(attribute, Categorical) else compute_normal_scores(values)
    p_value = compute_p_value(
        whiten(compute_normal_scores(z)), whiten(scores), groups, n_permutations=n_permutations, generator=generator
    )
    return replace(result, p_value=p_value)
