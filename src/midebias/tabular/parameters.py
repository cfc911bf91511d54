"""Checks of the parameters of the scikit-learn estimators."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ..arguments import check_kind
from ..errors import InputError

_MOST = 1_000_000_000  # widths and counts: what is larger is a slip
_KINDS: dict[str, Any] = {
    "criterion": str,
    "preprocess": bool,
    "early_stopping": bool,
    "warm_start": bool,
    "estimator": str | Callable[..., Any],
    "module": Callable[..., Any] | None,
    "callbacks": Sequence[Callable[..., Any]] | None,
    "sensitive_columns": str | int | Sequence[str | int] | None,
}
_WEIGHTS = ("mi_weight", "decision_weight", "weight_decay", "learning_rate")
_COUNTS = ("batch_size", "n_iter_no_change", "max_categories", "epochs", "dim")
_OPTIONAL = ("mi_weight", "decision_weight", "epochs", "dim")


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raise `InputError`, which names the parameter, for one that cannot be used."""
    for name, hint in _KINDS.items():
        check_kind(name, given[name], hint)
    if given["criterion"] not in ("independence", "separation"):
        raise InputError(f"criterion must be 'independence' or 'separation', got {given['criterion']!r}")
    for name, value in given.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _WEIGHTS and not _is_between(value, 0, 1e30):  # float32 could hold no larger one
            raise InputError(f"{name} must be a number >= 0 and <= 1e30, got {value!r}")
        if name in _COUNTS and not _is_count(value):
            raise InputError(f"{name} must be a whole number >= 1 and <= {_MOST:,}, got {value!r}")
    budget, pieces, fraction = given["max_mi"], given["n_pieces"], given["validation_fraction"]
    if budget is not None:
        if not isinstance(budget, Real) or not 0 < float(budget) < math.inf:
            raise InputError(f"max_mi must be a positive number of nats, got {budget!r}")
        if given["mi_weight"] == 0:
            raise InputError("max_mi needs mi_weight > 0: the weight is what it moves")
        if given["early_stopping"]:
            raise InputError("max_mi and early_stopping exclude each other: a budget has its own end of the training")
    if not isinstance(pieces, Integral) or int(pieces) < 0:
        raise InputError(f"n_pieces must be a whole number >= 0, got {pieces!r}")
    widths = given["hidden_layer_sizes"]
    if not isinstance(widths, Sequence) or not all(map(_is_count, widths)):
        raise InputError(f"hidden_layer_sizes must be whole numbers >= 1 and <= {_MOST:,}, got {widths!r}")
    if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
        raise InputError(f"validation_fraction must lie in (0, 1), got {fraction!r}")


def _is_between(value: Any, least: float, most: float) -> bool:
    """Whether it is a number, of any size and kind but a truth value, between these."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return bool(least <= value <= most)  # type: ignore[operator]  # Real declares comparisons with itself alone


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and _is_between(value, 1, _MOST)
