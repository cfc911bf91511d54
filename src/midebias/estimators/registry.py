"""The names of the estimators: the one set of them that every door of the library takes."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from torch import nn

from ..attributes import Attribute, Categorical, Continuous
from ..errors import InputError
from .barber_agakov import BarberAgakov
from .club import CLUB
from .critic_estimator import CriticEstimator
from .donsker_varadhan import DonskerVaradhan
from .f_divergence import NWJ, SMILE, JensenShannon
from .gaussian import GaussianMI
from .info_nce import InfoNCE
from .interface import Estimator, check_estimator
from .learned_gaussian import LearnedGaussianMI
from .prequential import PrequentialMI

EstimatorName = Literal[
    "prequential", "gaussian_linear", "gaussian", "gaussian_learned", "donsker_varadhan", "nwj", "jensen_shannon",
    "smile", "info_nce", "club", "barber_agakov",
]  # fmt: skip
DEFAULT_ESTIMATOR: EstimatorName = "prequential"
"""Of `MIPenalty`. The recipes of images and tables name theirs: "gaussian"."""


def _build_gaussian(dim: int, attribute: Attribute, *, n_groups: int, **options: Any) -> Estimator:
    given = {"attribute_degree": _choose_degree(attribute), "group_signs": True, "ridge": 1e-2}
    return GaussianMI(**given | options)


def _build_learned_gaussian(dim: int, attribute: Attribute, *, n_groups: int, **options: Any) -> Estimator:
    return LearnedGaussianMI(dim, attribute.dim, **{"attribute_degree": _choose_degree(attribute)} | options)


def _build_prequential(dim: int, attribute: Attribute, *, n_groups: int, **options: Any) -> Estimator:
    sizes = attribute.sizes if isinstance(attribute, Categorical) else None
    given = {"sizes": sizes, "attribute_degree": _choose_degree(attribute), "n_groups": n_groups}
    return PrequentialMI(dim, attribute.dim, **given | options)


def _build_critic(kind: type[CriticEstimator], dim: int, attribute: Attribute, **options: Any) -> Estimator:
    return kind(dim, attribute.dim, **options)


def _choose_degree(attribute: Attribute) -> Literal[1, 2]:
    """Products of many columns would be too many, and those of one-hot columns say nothing new."""
    return 2 if isinstance(attribute, Continuous) and attribute.dim <= 8 else 1


_BUILDERS: dict[str, Callable[..., Estimator]] = {
    "prequential": _build_prequential,
    "gaussian_linear": _build_gaussian,
    "gaussian": partial(_build_gaussian, features="random", n_features=32),
    "gaussian_learned": _build_learned_gaussian,
    "donsker_varadhan": partial(
        _build_critic, DonskerVaradhan, critic="separable", all_pairs=True, calibrate=True, upper_gradient=True
    ),
    "nwj": partial(_build_critic, NWJ),
    "jensen_shannon": partial(_build_critic, JensenShannon),
    "smile": partial(_build_critic, SMILE),
    "info_nce": partial(_build_critic, InfoNCE),
    "club": CLUB,
    "barber_agakov": BarberAgakov,
}


def build_estimator(
    name: EstimatorName | Callable[[int, int], nn.Module],
    dim: int,
    attribute: Attribute,
    *,
    n_groups: int = 0,
    seed: int = 0,
    **options: Any,
) -> Estimator:
    """Build the estimator of that name, or by a function of your own.

    "prequential" is `PrequentialMI`; "gaussian_linear" is `GaussianMI` on z itself, "gaussian" on random Fourier
    features; "gaussian_learned" is `LearnedGaussianMI`; "donsker_varadhan" is `DonskerVaradhan` with a separable
    critic, all pairs, calibrated scores and the upper gradient; the others are named as their class, whose further
    arguments ``options`` are. A callable is given (dim, attribute_dim). Critics are conditioned on ``n_groups`` labels,
    0 for none; closed forms have no limit.

    Raises
    ------
    InputError
        When there is no estimator of that name, or it refuses an argument; when what a callable returns is none.
    """
    if not isinstance(name, str):
        return check_estimator(name(dim, attribute.dim))
    if name not in _BUILDERS:
        raise InputError(f"estimator must be one of {', '.join(map(repr, get_args(EstimatorName)))}, got {name!r}")
    return _BUILDERS[name](dim, attribute, n_groups=n_groups, seed=seed, **options)
