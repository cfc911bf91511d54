"""A table's columns to predictions in one module: preprocessing, encoder and head of the scikit-learn estimators."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..column_kinds import Column, is_frame, read_column, read_frame
from ..errors import InputError
from ..tabular.networks import TableModel
from ..tabular.preprocessing import MISSING, code_columns

_OUTPUTS = {"classification": ("probabilities", "z"), "regression": ("prediction", "z"), "representation": ("z",)}


class ServedTable(nn.Module):
    """Columns x (n, p) in double precision -> predictions and z, preprocessing included.

    Columns are those of fit, in their order, without the sensitive ones. A number is itself, NaN where it is missing.
    A category is its place in the ``categories`` of its column, NaN where it is missing, and anything else, -1 say,
    where fit has not seen it. `encode` makes such a matrix of a frame.

    Parameters
    ----------
    network : Module
        x -> (outputs, z), in double precision.
    description : dict
        ``task`` ("classification", "regression" or "representation"); ``columns``, the entries of a
        `TablePreprocessor`; ``classes``; ``center``, ``scale`` and ``several`` of a regression.

    Attributes
    ----------
    outputs : tuple of str
        ``("probabilities", "z")``, ``("prediction", "z")`` in the units of y, or ``("z",)``.

    Raises
    ------
    InputError
        A description that lacks something, an estimator that is not fitted, or columns that `encode` cannot use.

    Examples
    --------
    >>> import torch
    >>> from midebias.serving import ServedTable
    >>> from midebias.tabular.networks import TabularNetwork
    >>> network = TabularNetwork(torch.nn.Identity(), 2, 3).double()
    >>> columns = [{"name": "age", "kind": "raw"}, {"name": "work", "kind": "category", "categories": ["state"]}]
    >>> table = ServedTable(network, {"task": "classification", "columns": columns, "classes": ["a", "b", "c"]})
    >>> probabilities, z = table(torch.tensor([[0.5, 0.0], [0.5, -1.0]]).double())
    >>> z.tolist()
    [[0.5, 1.0], [0.5, 0.0]]
    """

    any_size = False

    def __init__(self, network: nn.Module, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.description = dict(description)
        task, columns = description.get("task"), description.get("columns")
        if task not in _OUTPUTS or not isinstance(columns, list) or not columns:
            raise InputError("description must hold a task and a list of columns")
        self.task, self.outputs, self.network = str(task), _OUTPUTS[task], network
        if not {column["kind"] for column in columns} <= {"number", "category", "raw"}:
            raise InputError("description: kind of a column must be number, category or raw")
        self._numbers, self._raw, categories = (
            [j for j, column in enumerate(columns) if column["kind"] == kind] for kind in ("number", "raw", "category")
        )
        self._indicators = [j for j in self._numbers if columns[j]["indicator"]]
        self._categories = [(j, columns[j]["categories"]) for j in categories]
        self.mean, self.spread = (_make_buffer([columns[j][key] for j in self._numbers]) for key in ("mean", "scale"))
        is_regression = task == "regression"
        self.center, self.scale = (_make_buffer(description[k] if is_regression else []) for k in ("center", "scale"))
        self._flat = is_regression and not description["several"]
        self.eval()

    @classmethod
    def from_model(cls, model: TableModel) -> Self:
        """Copy what predicts of ``model``, a fitted estimator of `midebias.sklearn`, to the CPU."""
        if not hasattr(model, "network_"):
            raise InputError(f"model must be fitted: call {type(model).__name__}.fit first")
        return cls(copy.deepcopy(model.network_).cpu(), model.describe())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return predictions and z of x (n, p), float64."""
        outputs, z = self.network(self.preprocess(x))
        if self.task == "representation":
            return (z,)
        if self.task == "classification":
            return outputs.softmax(dim=1), z
        prediction = outputs * self.scale + self.center
        return (prediction[:, 0] if self._flat else prediction), z

    def preprocess(self, x: Tensor) -> Tensor:
        """Return the matrix that the encoder reads, of x (n, p); see `TablePreprocessor`."""
        parts = [x[:, self._raw]] if self._raw else []
        if self._numbers:
            scaled = _asinh((x[:, self._numbers] - self.mean) / self.spread)
            parts.append(torch.where(torch.isnan(scaled), 0.0, scaled))
        if self._indicators:
            parts.append(torch.isnan(x[:, self._indicators]).to(x.dtype))
        for j, categories in self._categories:
            column = x[:, j : j + 1]
            if MISSING in categories:
                column = torch.where(torch.isnan(column), float(categories.index(MISSING)), column)
            parts.append((column == torch.arange(len(categories), dtype=x.dtype)).to(x.dtype))
        return torch.cat(parts, dim=1)

    @property
    def example(self) -> Tensor:
        """Two rows that can be encoded."""
        return torch.zeros(2, len(self.description["columns"]), dtype=torch.float64)

    def draw_inputs(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows with ``generator``, with missing values and categories that fit has not seen among them."""
        columns = []
        for column in self.description["columns"]:
            if column["kind"] == "category":
                values = torch.randint(-1, len(column["categories"]), (n,), generator=generator).double()
            else:
                values = torch.randn(n, generator=generator, dtype=torch.float64)
                if column["kind"] == "number" and column["mean"] is not None:
                    values = column["mean"] + column["scale"] * values
            missing = torch.rand(n, generator=generator) < 0.2
            columns.append(values if column["kind"] == "raw" else values.masked_fill(missing, math.nan))
        return torch.stack(columns, dim=1)

    def decode(self, x: Tensor) -> list[Column]:
        """Return the columns that `encode` makes the matrix x (n, p) of."""
        columns = []
        for values, entry in zip(x.T.tolist(), self.description["columns"], strict=True):
            if entry["kind"] == "category":
                names = {**dict(enumerate(entry["categories"])), -1: "not seen in fit"}
                values = [None if math.isnan(v) else names[int(v)] for v in values]
            columns.append(Column(entry["name"], np.array(values, object if entry["kind"] == "category" else None)))
        return columns

    def encode(self, X: Any) -> NDArray[np.float64]:
        """Return the matrix (n, p) that `forward` takes: of a frame X by its names, of an array by places."""
        entries = self.description["columns"]
        if is_frame(X):
            given = {column.name: column for column in read_frame(X)}
            absent = [entry["name"] for entry in entries if entry["name"] not in given]
            if absent:
                raise InputError(f"X has no column {absent[0]!r}")
            columns: list[Column] = [given[entry["name"]] for entry in entries]
        else:
            values = np.asarray(X, dtype=object)
            if values.ndim != 2 or values.shape[1] != len(entries):
                raise InputError(f"X must have shape (n, {len(entries)}), got {values.shape}")
            columns = [read_column(values[:, j].tolist(), entry["name"]) for j, entry in enumerate(entries)]
        return code_columns(columns, entries)


def _make_buffer(values: Sequence[float | None]) -> nn.Buffer:
    return nn.Buffer(torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64))


def _asinh(x: Tensor) -> Tensor:
    """In operations that ONNX runtimes have in double precision."""
    size = x.abs().clamp(max=torch.finfo(x.dtype).max)  # as `TablePreprocessor` bounds what is too large
    big = size > 1e8
    near = torch.where(big, 1.0, size)
    return x.sign() * torch.where(big, size.log() + math.log(2), (near + (near * near + 1).sqrt()).log())
