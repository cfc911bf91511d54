"""Public functions and classes, called rightly but for one to three arguments."""

from __future__ import annotations

import copy
import inspect
import random
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import sklearn
from midebias import FeatureMap, LogitAdjustment, MIPenalty, Tokens, audit, estimate_mi
from midebias.attributes import Attributes, Categorical, Continuous
from midebias.datasets import BiasedMNIST, ColoredMNIST, fetch_adult, fetch_german
from midebias.errors import InputError
from midebias.estimation import bracket_mi
from midebias.estimators import (
    CLUB,
    NWJ,
    SMILE,
    BarberAgakov,
    DiscreteMI,
    DonskerVaradhan,
    GaussianMI,
    InfoNCE,
    JensenShannon,
    LearnedGaussianMI,
)
from midebias.leakage import certify, leave_one_group_out, probe
from midebias.lightning import DebiasModule, MIMeter
from midebias.penalty import DualAscent
from midebias.randomness import seeded
from midebias.serving import export_model, make_servable
from midebias.sklearn import MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer
from midebias.training import train_step

from .garbage import draw_value
from .origin import belongs_to
from .runner import BrokenPromise, Target

__all__ = ["TARGETS"]

_G = torch.Generator().manual_seed(0)
_N = 120
_C = torch.randint(2, (_N,), generator=_G)
_Y = torch.randint(3, (_N,), generator=_G)
_Z = torch.randn(_N, 3, generator=_G) + _C[:, None]
_X = _Z.double().numpy()
_FRAME = pd.DataFrame(_X, columns=["a", "b", "d"]).assign(work=["p", "s", None] * 40)
with seeded(0):
    _LINEAR, _HEAD = nn.Linear(3, 3), nn.Linear(3, 3)


def _target(
    function: Callable[..., Any], valid: Mapping[str, Any], *, method: str = "", call: Any = None, foreign: bool = False
) -> Target:
    """Feeds ``function(**valid)``; with ``method`` its result's method is then called with ``call``.

    With ``foreign``, networks and losses of the caller's own are run, whose errors are torch's.
    """
    name = getattr(function, "__name__", str(function)) + (f".{method}" if method else "")

    def feed(rng: random.Random, folder: Path) -> None:
        with seeded(0):
            made, used = dict(valid), dict(call or {})
            for _ in range(rng.choice((1, 1, 2, 3))):
                into = used if used and rng.random() < 0.5 else made
                into[rng.choice(list(into))] = draw_value(rng)
            given = copy.copy(made) | used
            try:
                result = function(**made)
                if method:
                    result = getattr(result, method)(**used)
            except InputError as error:
                words = set(re.findall(r"\w+", str(error)))
                if not words & (set(given) | {"z", "c", "y", "X", "logits", "column", "sensitive_features", "model"}):
                    raise BrokenPromise(f"names no argument: {error}") from error
                raise
            except (TypeError, ValueError, RuntimeError, IndexError) as error:
                # scikit-learn's own validation says what it says; its conventions are kept.
                frames = traceback.extract_tb(error.__traceback__)
                if not any(belongs_to(nn if foreign else sklearn, f.filename) for f in frames[-3:]):
                    raise
            else:
                if isinstance(result, torch.Tensor) and result.ndim == 0 and not bool(torch.isfinite(result)):
                    raise BrokenPromise(f"the answer is {result}")

    return Target(name, feed)


def _options(function: Any, **valid: Any) -> dict[str, Any]:
    """``valid`` and the defaults of all other arguments."""
    target = function.__init__ if inspect.isclass(function) else function
    found = {
        k: p.default
        for k, p in inspect.signature(target).parameters.items()
        if p.default is not p.empty and k not in ("callbacks", "on_step", "process_group")
    }
    return found | valid


def _quick(kind: Any) -> dict[str, Any]:
    return _options(kind, epochs=1, hidden_layer_sizes=(4,), random_state=0)


def _take_step(**arguments: Any) -> Any:
    encoder, head = copy.deepcopy(_LINEAR), copy.deepcopy(_HEAD)
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
    return train_step(encoder, head, MIPenalty(3, Categorical(2), estimator="gaussian"), optimizer, **arguments)


def _exported(**arguments: Any) -> Any:
    return make_servable((copy.deepcopy(_LINEAR), copy.deepcopy(_HEAD)), **arguments)


def _write_model(**arguments: Any) -> Any:
    return export_model((_LINEAR, _HEAD), "/nowhere/at/all.bin", **arguments)


def _encoding_target(kind: Any, **valid: Any) -> Target:
    return _target(kind, valid, method="encode", call={"c": _C})


_PAIR = {"z": _Z, "c": torch.nn.functional.one_hot(_C).float(), "groups": _Y}
_SMALL = {"dim": 3, "attribute_dim": 2, "n_groups": 3, "seed": 0}
_FIT = {"X": _FRAME, "y": _Y.numpy(), "sensitive_features": _C.numpy(), "sample_weight": np.ones(_N)}
_FAST = {"critic_steps": 1, "critic_warmup": 1, "bank": 64}
_ALL = [
    _encoding_target(Categorical, n_categories=2),
    _encoding_target(Continuous, dim=1),
    _target(lambda a, b: Attributes(a, b), {"a": Categorical(2), "b": Continuous(1)}, method="encode",
            call={"c": torch.stack([_C.float(), _Z[:, 0]], dim=1)}),
    _target(MIPenalty, _options(MIPenalty, dim=3, attribute=Categorical(2), **_FAST), method="forward",
            call={"z": _Z.clone().requires_grad_(), "c": _C, "y": _Y}),
    _target(MIPenalty, {"dim": [FeatureMap(3), Tokens(3), 3], "attribute": Categorical(2), "estimator": "gaussian"},
            method="forward", call={"z": [_Z[:, :, None], _Z[:, None], _Z], "c": _C, "y": _Y}),
    _target(LogitAdjustment, _options(LogitAdjustment, attribute=Categorical(2), n_classes=3), method="forward",
            call={"logits": torch.zeros(_N, 3), "c": _C, "y": _Y}),
    _target(LogitAdjustment, {"attribute": Categorical(2), "n_classes": 3}, method="fit", call={"c": _C, "y": _Y}),
    _target(estimate_mi, _options(estimate_mi, z=_Z, c=_C, condition_on=_Y, max_steps=2, n_permutations=3)),
    _target(bracket_mi, {"z": _Z, "c": _C, "random_state": 0, "max_steps": 2, "n_permutations": 2}),
    _target(audit, _options(audit, z=_Z, c={"sex": _C}, y=_Y, predictions=_Y, groups=np.arange(_N) // 2,
                            probes=("linear",))),
    _target(certify, _options(certify, z=_Z.argmax(1), c={"sex": _C}, y=_Y)),
    _target(leave_one_group_out, _options(leave_one_group_out, z=_Z, c={"sex": _C}, y=_Y, groups=_Y,
                                          probes=("linear",))),
    _target(probe, _options(probe, z=_Z, c=_C, max_epochs=1, hidden=4)),
    _target(DualAscent, _options(DualAscent, max_mi=0.1)),
    *(
        _target(kind, _options(kind, **_SMALL, **({"hidden": (4,)} if kind is not LearnedGaussianMI else {})),
                method="forward", call=_PAIR)
        for kind in (DonskerVaradhan, NWJ, JensenShannon, SMILE, InfoNCE)
    ),
    _target(LearnedGaussianMI, _options(LearnedGaussianMI, dim=3, attribute_dim=2), method="forward", call=_PAIR),
    _target(GaussianMI, _options(GaussianMI), method="forward", call=_PAIR),
    _target(DiscreteMI, _options(DiscreteMI, n_outcomes=3, sizes=(2,), n_groups=3), method="forward",
            call=_PAIR | {"z": _Z.softmax(1)}),
    *(
        _target(kind, _options(kind, dim=3, attribute=Categorical(2), n_groups=3, hidden=(4,)), method="forward",
        call=_PAIR)
        for kind in (CLUB, BarberAgakov)
    ),
    _target(_take_step, {"x": _Z, "y": _Y, "c": _C, "mi_weight": 1.0, "max_grad_norm": 1.0},
    foreign=True),
    _target(DebiasModule, _options(DebiasModule, encoder=_LINEAR, head=_HEAD, penalty=None), method="forward",
    call={"x": _Z}, foreign=True),
    _target(MIMeter, _options(MIMeter)),
    _target(MIDebiasClassifier, _quick(MIDebiasClassifier), method="fit", call=_FIT),
    _target(MIDebiasRegressor, _quick(MIDebiasRegressor), method="fit", call=_FIT | {"y": _X[:, 0]}),
    _target(MIDebiasTransformer, _quick(MIDebiasTransformer), method="fit", call=_FIT),
    _target(_exported, {"example": _Z}),
    _target(_write_model, {"example": _Z, "format": None}),
    _target(ColoredMNIST, _options(ColoredMNIST, split="test", limit=5)),
    _target(BiasedMNIST, _options(BiasedMNIST, split="test", limit=5)),
    _target(fetch_adult, _options(fetch_adult)),
    _target(fetch_german, _options(fetch_german)),
]  # fmt: skip
TARGETS = {t.name: t for t in _ALL}
