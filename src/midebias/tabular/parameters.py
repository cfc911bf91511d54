"""Checks of the parameters of the scikit-learn estimators."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ..arguments import check_kind
from ..errors import InputError
from ..leakage.certificate import MOST_CELLS

_MOST = 1_000_000_000  # widths and counts: what is larger is a slip


def _is_between(value: Any, least: float, most: float) -> bool:
    is_number = not isinstance(value, bool) and isinstance(value, Real)
    return is_number and bool(least <= value <= most)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and _is_between(value, 1, _MOST)


def _are_counts(value: Any) -> bool:
    return isinstance(value, Sequence) and all(map(_is_count, value))


def _all_hold(value: Any, holds: Callable[[Any], bool]) -> bool:
    """Whether a limit, or each of those of several attributes, can be used."""
    return bool(value) and all(map(holds, value.values())) if isinstance(value, Mapping) else holds(value)


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("preprocess", "early_stopping", "warm_start", "verbose"), bool),
    "criterion": str,
    "estimator": str | Callable[..., Any],
    "module": Callable[..., Any] | None,
    "callbacks": Sequence[Callable[..., Any]] | None,
    "sensitive_columns": str | int | Sequence[str | int] | None,
}
_WEIGHT = (lambda v: _is_between(v, 0, 1e30), "be a number >= 0 and <= 1e30")  # float32 could hold no larger one
_COUNT = (_is_count, f"be a whole number >= 1 and <= {_MOST:,}")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("mi_weight", "decision_weight", "weight_decay", "learning_rate"), _WEIGHT),
    **dict.fromkeys(("batch_size", "n_iter_no_change", "max_categories", "epochs", "dim"), _COUNT),
    **dict.fromkeys(
        ("max_parity_difference", "max_odds_difference"),
        (lambda v: _all_hold(v, lambda limit: _is_between(limit, 0, 1)), "lie in [0, 1], or map attributes to such"),
    ),
    "base": (lambda v: v in ("auto", "trees", "network"), "be 'auto', 'trees' or 'network'"),
    "criterion": (lambda v: v in ("independence", "separation"), "be 'independence' or 'separation'"),
    "hidden_layer_sizes": (_are_counts, f"be whole numbers >= 1 and <= {_MOST:,}"),
    "missing_attribute": (lambda v: v in ("mask", "draw"), "be 'mask' or 'draw'"),
    "max_mi": (
        lambda v: _all_hold(v, lambda limit: isinstance(limit, Real) and 0 < float(limit) < math.inf),
        "be a positive number of nats, or map attributes to such",
    ),
    "n_cells": (lambda v: isinstance(v, Integral) and _is_between(v, 2, MOST_CELLS), f"lie in 2 to {MOST_CELLS:,}"),
    "n_pieces": (lambda v: isinstance(v, Integral) and int(v) >= 0, "be a whole number >= 0"),
    "validation_fraction": (lambda v: isinstance(v, Real) and 0 < float(v) < 1, "lie in (0, 1)"),
}
LIMITS = ("max_mi", "max_parity_difference", "max_odds_difference")
_OPTIONAL = ("mi_weight", "decision_weight", "epochs", "dim", "n_cells", *LIMITS)


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raise `InputError`, which names the parameter, for one that cannot be used."""
    for name, hint in _KINDS.items():
        check_kind(name, given[name], hint)
    for name, (holds, rule) in _RULES.items():
        if name not in given:
            continue
        value = given[name]
        if not (holds(value) or (value is None and name in _OPTIONAL)):
            raise InputError(f"{name} must {rule}, got {value!r}")
    if given.get("n_cells") is not None and given["warm_start"]:
        raise InputError("n_cells and warm_start exclude each other: cells are laid once training has ended")
    for name in LIMITS:
        if given.get(name) is not None:
            if given["mi_weight"] == 0:
                raise InputError(f"{name} needs mi_weight > 0: the weight is what it moves")
            if given["early_stopping"]:
                raise InputError(f"{name} and early_stopping exclude each other: a budget ends the training itself")
