"""A table's columns to predictions in one module: preprocessing, encoder and head of the scikit-learn estimators."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import DataError, InputError
from ..randomness import seeded
from ..tabular.piecewise_linear import PiecewiseLinear

__all__ = ["ServedTable", "described", "served_table"]

_MISSING = "(missing)"
_OUTPUTS = {
    "classification": ("probabilities", "z"),
    "regression": ("prediction", "z"),
    "representation": ("z",),
}


class ServedTable(nn.Module):
    """Columns x (n, p) in double precision -> predictions and z, preprocessing included.

    Columns are those of fit, in their order, without the sensitive ones. A number is itself, NaN where it is missing.
    A category is its place in the ``categories`` of its column, NaN where it is missing, and anything else, -1 say,
    where fit has not seen it. `encode` makes such a matrix of a frame.

    Parameters
    ----------
    network : Module
        x -> (z, outputs), in double precision.
    description : dict
        ``task`` ("classification", "regression" or "representation"); ``columns``, a list of dicts with ``name`` and
        ``kind``: of a "number" ``mean``, ``scale`` (None where fit saw no value) and ``indicator`` (a column that says
        it is missing), of a "category" ``categories``, of a "raw" number nothing; ``classes``; ``center``, ``scale``
        and ``several`` of a regression.

    Attributes
    ----------
    outputs : tuple of str
        ``("probabilities", "z")``, ``("prediction", "z")`` in the units of y, or ``("z",)``.
    description : dict

    Raises
    ------
    InputError
        A description that lacks something, or of another kind.
    """

    any_size = False
    mean: Tensor
    spread: Tensor
    center: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.description = dict(description)
        task, columns = description.get("task"), description.get("columns")
        if task not in _OUTPUTS or not isinstance(columns, list) or not columns:
            raise InputError("description must hold a task and a list of columns")
        self.task, self.outputs = str(task), _OUTPUTS[task]
        self.network = network
        numbers = [j for j, c in enumerate(columns) if c["kind"] == "number"]
        self._numbers, self._raw = numbers, [j for j, c in enumerate(columns) if c["kind"] == "raw"]
        self._indicators = [j for j in numbers if columns[j]["indicator"]]
        self._categories = [(j, c["categories"]) for j, c in enumerate(columns) if c["kind"] == "category"]
        if len(numbers) + len(self._raw) + len(self._categories) != len(columns):
            raise InputError("description: kind of a column must be number, category or raw")
        self._constant("mean", [columns[j]["mean"] for j in numbers])
        self._constant("spread", [columns[j]["scale"] for j in numbers])
        several = task == "regression"
        self._constant("center", description["center"] if several else [])
        self._constant("scale", description["scale"] if several else [])
        self._flat = several and not description["several"]
        self.eval()

    def _constant(self, name: str, values: Sequence[float | None]) -> None:
        self.register_buffer(name, torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Predictions and z of x (n, p), float64."""
        z, outputs = self.network(self.preprocess(x))
        if self.task == "representation":
            return (z,)
        if self.task == "classification":
            return outputs.softmax(dim=1), z
        predicted = outputs * self.scale + self.center
        return (predicted[:, 0] if self._flat else predicted), z

    def preprocess(self, x: Tensor) -> Tensor:
        """The matrix that the encoder reads; see `TablePreprocessor`."""
        parts = [x[:, self._raw]] if self._raw else []
        if self._numbers:
            scaled = _asinh((x[:, self._numbers] - self.mean) / self.spread)
            parts.append(torch.where(torch.isnan(scaled), 0.0, scaled))
        if self._indicators:
            parts.append(torch.isnan(x[:, self._indicators]).to(x.dtype))
        for j, categories in self._categories:
            column = x[:, j : j + 1]
            if _MISSING in categories:
                place = float(categories.index(_MISSING))
                column = torch.where(torch.isnan(column), place, column)
            parts.append((column == torch.arange(len(categories), dtype=x.dtype)).to(x.dtype))
        return torch.cat(parts, dim=1)

    @property
    def example(self) -> Tensor:
        """Two rows that can be encoded."""
        return torch.zeros(2, len(self.description["columns"]), dtype=torch.float64)

    def trial(self, n: int, generator: torch.Generator) -> Tensor:
        """Rows drawn at random, with missing values where those are known, and categories not seen in fit."""
        drawn = []
        for column in self.description["columns"]:
            if column["kind"] == "category":
                values = torch.randint(-1, len(column["categories"]), (n,), generator=generator).double()
            else:
                values = torch.randn(n, generator=generator, dtype=torch.float64)
                if column["kind"] == "number" and column["mean"] is not None:
                    values = column["mean"] + column["scale"] * values
            missing = torch.rand(n, generator=generator) < 0.2
            drawn.append(values if column["kind"] == "raw" else values.masked_fill(missing, math.nan))
        return torch.stack(drawn, dim=1)

    def encode(self, X: Any) -> NDArray[np.float64]:
        """The matrix (n, p) that `forward` takes, of a frame with the columns by name, or of an array by place.

        Raises
        ------
        InputError
            A column that is not there, or text where fit had numbers; the message names it.
        """
        from ..columns import Column, is_frame, read_column, read_frame

        wanted = self.description["columns"]
        if is_frame(X):
            found = {c.name: c for c in read_frame(X)}
            absent = [c["name"] for c in wanted if c["name"] not in found]
            if absent:
                raise InputError(f"X has no column {absent[0]!r}")
            columns: list[Column] = [found[c["name"]] for c in wanted]
        else:
            values = np.asarray(X, dtype=object)
            if values.ndim != 2 or values.shape[1] != len(wanted):
                raise InputError(f"X must have shape (n, {len(wanted)}), got {values.shape}")
            columns = [read_column(values[:, j].tolist(), c["name"]) for j, c in enumerate(wanted)]
        return np.column_stack([_codes(column, c) for column, c in zip(columns, wanted, strict=True)])

    @classmethod
    def from_files(cls, path: Path, state_dict: Mapping[str, Tensor]) -> ServedTable:
        """From ``preprocessing.json`` and the weights beside it.

        Raises
        ------
        DataError
            When either is damaged, or they do not belong together.
        """
        from ..tabular.networks import TabularEncoder, TabularNetwork

        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            layers = [k for k in state_dict if k.startswith("encoder.deep.") and k.endswith(".weight")]
            widths = [len(state_dict[k]) for k in sorted(layers, key=lambda k: int(k.split(".")[2]))[:-1]]
            n_outputs, dim = state_dict["head.weight"].shape
            with seeded(0):
                reading = _reading(state_dict)
                n_inputs = state_dict["encoder.wide.weight"].shape[1] - (0 if reading is None else reading.pieces)
                encoder = TabularEncoder(n_inputs, widths, dim, reading)
                network = TabularNetwork(encoder, dim, n_outputs).double()
            network.load_state_dict(dict(state_dict))
            served = cls(network, description)
            served(served.example)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
            raise DataError(f"{path} cannot be read, or does not go with the weights beside it ({error})") from error
        return served


def served_table(estimator: Any) -> ServedTable:
    """Of a fitted estimator of `midebias.sklearn`.

    Raises
    ------
    InputError
        When it is not fitted.
    """
    if not hasattr(estimator, "network_"):
        raise InputError(f"model must be fitted: call {type(estimator).__name__}.fit first")
    return ServedTable(copy.deepcopy(estimator.network_).cpu(), described(estimator))


def described(estimator: Any) -> dict[str, Any]:
    """What `ServedTable` needs of a fitted estimator, as plain JSON."""
    names = getattr(estimator, "feature_names_in_", None)
    names = [f"X[{j}]" for j in range(estimator.n_features_in_)] if names is None else [str(n) for n in names]
    if estimator.preprocess:
        columns = estimator._preprocessor.described(names)
    else:
        columns = [{"name": name, "kind": "raw"} for name in names]
    described: dict[str, Any] = {"columns": columns}
    if hasattr(estimator, "classes_"):
        return {"task": "classification", "classes": [_plain(c) for c in estimator.classes_], **described}
    if hasattr(estimator, "_center"):
        moments = {"center": estimator._center.tolist(), "scale": estimator._scale.tolist()}
        return {"task": "regression", **moments, "several": bool(estimator._several), **described}
    return {"task": "representation", **described}


def _reading(state_dict: Mapping[str, Tensor]) -> PiecewiseLinear | None:
    """As its weights say, to be loaded with them."""
    if "encoder.reading.columns" not in state_dict:
        return None
    low = state_dict["encoder.reading.low"]
    return PiecewiseLinear(torch.zeros(len(low), dtype=torch.long), torch.zeros_like(low), torch.ones_like(low))


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, (bool, int, float, str)) else str(plain)


def _codes(column: Any, wanted: Mapping[str, Any]) -> NDArray[np.float64]:
    if wanted["kind"] != "category":
        if column.is_numeric:
            return np.asarray(column.values, dtype=np.float64)
        row = next((i for i, v in enumerate(column.values) if v is not None), None)
        if row is None:
            return np.full(len(column.values), np.nan)
        raise InputError(f"column {wanted['name']!r} held numbers in fit and now holds text ({column.values[row]!r})")
    place = {category: float(i) for i, category in enumerate(wanted["categories"])}
    missing = place.get(_MISSING, math.nan)
    if column.is_numeric:
        return np.array([missing if v != v else place.get(f"{v:g}", -1.0) for v in column.values])
    return np.array([missing if v is None else place.get(v, -1.0) for v in column.values])


def _asinh(x: Tensor) -> Tensor:
    """In operations that ONNX runtimes have in double precision."""
    size = x.abs()
    big = size > 1e8
    near = torch.where(big, 1.0, size)
    return x.sign() * torch.where(big, size.log() + math.log(2), (near + (near * near + 1).sqrt()).log())
