"""The names of the estimators: the one set of them that every door of the library takes."""

from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import nn

from ..attributes import Attribute, Continuous
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

EstimatorName = Literal[
    "gaussian_linear", "gaussian", "gaussian_learned", "donsker_varadhan", "nwj", "jensen_shannon", "smile", "info_nce",
    "club", "barber_agakov",
]  # fmt: skip

_Build = Callable[..., Estimator]


def _build_linear(dim: int, attribute: Attribute, *, n_groups: int, seed: int, **options: Any) -> Estimator:
    given = {"attribute_degree": _degree(attribute), "group_signs": True, "ridge": 1e-2, "seed": seed}
    return GaussianMI(**given | options)


def _build_random(dim: int, attribute: Attribute, *, n_groups: int, seed: int, **options: Any) -> Estimator:
    given = {"features": "random", "n_features": 32}
    return _build_linear(dim, attribute, n_groups=n_groups, seed=seed, **given | options)


def _build_learned(dim: int, attribute: Attribute, *, n_groups: int, seed: int, **options: Any) -> Estimator:
    given = {"attribute_degree": _degree(attribute), "seed": seed}
    return LearnedGaussianMI(dim, attribute.dim, **given | options)


def _critic(kind: type[CriticEstimator]) -> _Build:
    return lambda dim, attribute, **options: kind(dim, attribute.dim, **options)


def _degree(attribute: Attribute) -> Literal[1, 2]:
    """Products of many columns would be too many, and those of one-hot columns say nothing new."""
    return 2 if isinstance(attribute, Continuous) and attribute.dim <= 8 else 1


_BUILDERS: dict[str, _Build] = {
    "gaussian_linear": _build_linear,
    "gaussian": _build_random,
    "gaussian_learned": _build_learned,
    "donsker_varadhan": _critic(DonskerVaradhan),
    "nwj": _critic(NWJ),
    "jensen_shannon": _critic(JensenShannon),
    "smile": _critic(SMILE),
    "info_nce": _critic(InfoNCE),
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

    Parameters
    ----------
    name : str or callable
        A callable is given (dim, attribute_dim) and returns an `Estimator`. "gaussian_linear" is `GaussianMI` on z
        itself, "gaussian" on random Fourier features, "gaussian_learned" is `LearnedGaussianMI`; the others are named
        as their class.
    dim : int
        Columns of z.
    attribute : Attribute
    n_groups : int, default 0
        Labels that a critic is conditioned on, 0 for none. Closed forms have no limit.
    seed : int, default 0
    **options
        Further arguments of the estimator's class.

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
