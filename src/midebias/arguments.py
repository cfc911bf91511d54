"""Arguments of a wrong kind are refused by name, before anything is done with them."""

import functools
import inspect
import math
import os
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from .deferred_reads import read_later
from .errors import InputError, TooFewSamples
from .marginals import find_range

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check arguments against the annotations of ``function``: kinds, not values, which it checks itself.

    Whole numbers (of at most 64 bits) count as real ones too, and scalars of numpy as those of Python. Annotations that
    are not about numbers, words, tensors, modules, paths, functions, or sequences and choices of them, are passed over.

    Raises
    ------
    InputError
        The decorated function does, when an argument is of none of the kinds it is annotated with.

    Examples
    --------
    >>> @checked
    ... def half(length: int) -> float:
    ...     return length / 2
    >>> half("3")
    Traceback (most recent call last):
    midebias.errors.InputError: length must be a whole number, got '3' (str)
    """
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        if not hints:
            hints.update(get_type_hints(function))
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if name not in hints or kind is inspect.Parameter.VAR_KEYWORD:
                continue
            for each in value if kind is inspect.Parameter.VAR_POSITIONAL else (value,):
                check_kind(name, each, hints[name])
            if isinstance(value, (np.integer, np.floating)):  # torch takes Python's alone for a seed
                bound.arguments[name] = value.item()
        return function(*bound.args, **bound.kwargs)

    return inside


def check_kind(name: str, value: Any, hint: Any) -> None:
    """Raise `InputError`, which names the argument, unless ``value`` is of the kind that ``hint`` annotates."""
    if not _is(value, hint):
        shown = repr(value) if isinstance(value, (int, float, str, bytes, type(None))) else ""
        shown = f"{shown[:60]} ({type(value).__name__})" if shown else type(value).__name__
        raise InputError(f"{name} must be {_describe_kind(hint)}, got {shown}")


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and abs(int(value)) < 2**63


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")),
    int: ("a whole number", _is_whole),
    float: (
        "a number",
        lambda value: _is_whole(value) or (isinstance(value, Real) and not isinstance(value, Integral)),
    ),
    str: ("a word", lambda value: isinstance(value, str)),
    bytes: ("a bytes", lambda value: isinstance(value, bytes)),
    Path: ("a path", lambda value: isinstance(value, (str, os.PathLike))),
    Tensor: ("a torch.Tensor", lambda value: isinstance(value, Tensor)),
    type(None): ("None", lambda value: value is None),
}


def _is(value: Any, hint: Any) -> bool:
    origin, of = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, part) for part in of)
    if origin is Literal:
        return isinstance(value, tuple({type(choice) for choice in of}))  # which of them, it says itself
    if origin in (Sequence, list, tuple):
        if isinstance(value, (str, bytes, Mapping, Tensor)) or not hasattr(value, "__getitem__"):
            return False
        try:
            return not of or all(_is(v, of[0]) for v in value)
        except TypeError:  # an array without dimensions
            return False
    if origin is Mapping:
        return isinstance(value, Mapping)
    if Callable in (origin, hint):
        return callable(value)
    if hint in _KINDS:
        return _KINDS[hint][1](value)
    if isinstance(hint, type) and hint.__module__.split(".")[0] in ("torch", "midebias"):
        return isinstance(value, hint)
    return True


def _describe_kind(hint: Any) -> str:
    origin, of = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        parts = list(dict.fromkeys(_describe_kind(part) for part in of))
        return ", ".join(parts[:-1]) + (" or " if len(parts) > 1 else "") + parts[-1]
    if origin is Literal:
        return " or ".join(repr(choice) for choice in of)
    if origin in (Sequence, list, tuple):
        return f"a sequence, each {_describe_kind(of[0])}" if of else "a sequence"
    if hint in _KINDS:
        return _KINDS[hint][0]
    return "callable" if hint is Callable or origin is not None else f"a {getattr(hint, '__name__', hint)}"


def check_representation(
    z: Tensor, *, name: str = "z", dim: int | None = None, least: int = 2, finite: bool = True
) -> None:
    """Raise `InputError` unless z is a finite floating (n, dim) tensor with n >= ``least``.

    Finiteness is checked with one reduction: a NaN or infinity anywhere makes the sum not finite. ``finite=False``
    leaves that to the caller.
    """
    check_kind(name, z, Tensor)
    if not z.is_floating_point():
        raise InputError(f"{name} must have a floating dtype, got {z.dtype}")
    if z.ndim != 2 or z.shape[1] < 1:
        raise InputError(f"{name} must have shape (batch, dim), got {tuple(z.shape)}")
    if dim is not None and z.shape[1] != dim:
        raise InputError(f"{name} must have {dim} columns as in the constructor, got shape {tuple(z.shape)}")
    if z.shape[0] < least:
        raise TooFewSamples(f"{name} holds {z.shape[0]} sample: mutual information needs a batch of at least {least}")
    if finite:
        check_finite([z], [name])


def check_finite(values: Sequence[Tensor], names: Sequence[str]) -> None:
    """Raise `InputError` for tensors on one device that hold NaN or infinity; of a GPU when it is known."""

    def act(sums: list[float]) -> None:
        for total, name in zip(sums, names, strict=True):
            if not math.isfinite(total):
                raise InputError(f"{name} contains NaN or infinity")

    read_later(torch.stack([v.detach().sum(dtype=torch.float64) for v in values]), act)


def check_encoded(c: Tensor, n: int, dim: int | None = None, *, name: str = "c") -> None:
    """Raise `InputError` unless c is an encoded attribute: a real tensor of shape (n, dim)."""
    check_kind(name, c, Tensor)
    if c.is_complex():
        raise InputError(f"{name} must be real, got {c.dtype}")
    if c.ndim != 2 or len(c) != n or not c.shape[1] or (dim is not None and c.shape[1] != dim):
        raise InputError(f"{name} must be encoded to shape ({n}, {'k' if dim is None else dim}), got {tuple(c.shape)}")


def check_groups(groups: Tensor | None, n: int, *, n_groups: int | None = None, name: str = "y") -> None:
    """Raise `InputError` unless groups is None or n non-negative integers, below ``n_groups`` where that is given."""
    if groups is None:
        return
    check_kind(name, groups, Tensor)
    if groups.dtype.is_floating_point or groups.dtype.is_complex:
        raise InputError(
            f"{name} must hold integer labels, got {groups.dtype}: continuous values are not binned silently"
        )
    if groups.shape != (n,):
        raise InputError(f"{name} must have shape ({n},) like z, got {tuple(groups.shape)}")
    low, high = find_range(groups) if n else (0, -1)
    if low < 0:
        raise InputError(f"{name} must hold labels >= 0, got {low}")
    if n_groups is not None and high >= n_groups:
        raise InputError(
            f"{name} holds label {high} but n_groups is {n_groups}: number labels from 0 or raise n_groups"
        )


def check_conditions(groups: Tensor | None, n: int, *, name: str = "y") -> None:
    """Raise `InputError` unless groups is as of `check_groups`, or finite float columns of shape (n, k)."""
    if not (isinstance(groups, Tensor) and groups.is_floating_point() and groups.ndim == 2):
        check_groups(groups, n, name=name)
    elif len(groups) != n:
        raise InputError(f"{name} must have {n} rows like z, got {len(groups)}")
    else:
        check_finite([groups], [name])
