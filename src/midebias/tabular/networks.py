"""The encoder of tables and its head."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..column_kinds import Column
from ..errors import InputError
from ..leakage.cells import Cells
from ..networks import build_perceptron
from ..randomness import seeded
from .boosted_trees import BoostedTrees
from .piecewise_linear import PiecewiseLinear
from .whitened_linear import WhitenedLinear

_ROWS_WHITENED = 65_536
_RATE_OF_LINEAR_ENCODER = 20.0  # times the learning rate: alone, it has further to go in as many steps
_RATE_BESIDE_TREES = 10.0  # which have gone most of the way
_RIDGE_BESIDE_TREES = 30.0  # half of the sum of squares of what is learned beside trees counts so much over all rows


class TabularEncoder(nn.Module):
    """From a table's columns (n, n_inputs) to z (n, dim): the sum of a linear map and a perceptron of ReLU units.

    Most tables are nearly additive. The linear map learns that part, and learns it well under a penalty, where a
    perceptron alone fits noise. `TabularTrainer` trains it in the coordinates of `WhitenedLinear`.

    Parameters
    ----------
    n_inputs, dim : int
    hidden : sequence of int
        Widths of the perceptron; without any there is the linear map alone.
    reading : PiecewiseLinear or BoostedTrees, optional
        Linear map and perceptron are given its columns beside the table's.

    References
    ----------
    Cheng et al., "Wide & deep learning for recommender systems", 2016.
    """

    def __init__(
        self, n_inputs: int, hidden: Sequence[int], dim: int, reading: PiecewiseLinear | BoostedTrees | None = None
    ) -> None:
        super().__init__()
        self.reading = nn.Identity() if reading is None else reading
        self.trees_read = reading.added if isinstance(reading, BoostedTrees) else 0
        # What outputs do not depend on has no place in z, where it might tell something: the mean of all log-odds.
        self.is_centred = bool(self.trees_read) and dim == max(2, self.trees_read)
        n_inputs += 0 if reading is None else reading.added
        self.deep = build_perceptron(n_inputs, hidden, dim, activation=nn.ReLU) if hidden else None
        self.wide = WhitenedLinear(n_inputs, dim)

    def forward(self, x: Tensor) -> Tensor:
        """z (n, dim)."""
        x = self.reading(x)
        z: Tensor = self.wide(x)
        if self.is_centred:
            z = z - z.mean(dim=1, keepdim=True)
        return z if self.deep is None else z + self.deep(x)


class TabularNetwork(nn.Module):
    """An encoder from a table's columns to z (n, dim), and a linear head to outputs (n, n_outputs)."""

    def __init__(self, encoder: nn.Module, dim: int, n_outputs: int) -> None:
        super().__init__()
        self.encoder, self.dim, self.head = encoder, dim, nn.Linear(dim, n_outputs)
        self.cells: Cells | None = None  # which stand for z once it has been learned

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, n_outputs) and z (n, dim), those of the cell where there are cells."""
        z = self.encoder(x)
        return (self.head(z), z) if self.cells is None else self.cells.read(z)

    @classmethod
    def build(
        cls, x: Tensor, n_outputs: int, *, hidden: Sequence[int], dim: int | None, n_pieces: int,
        module: nn.Module | Callable[[int], nn.Module] | None, trees: BoostedTrees | None = None, seed: int,
    ) -> Self:  # fmt: skip
        """Make a network for rows x (n, n_inputs), around a `TabularEncoder` or around a copy of ``module``.

        Beside ``trees`` the encoder is linear, and begins as what they predict.
        """
        with seeded(seed):
            if module is not None:
                encoder = copy.deepcopy(module) if isinstance(module, nn.Module) else module(x.shape[1])
                return cls(encoder, _measure_width(encoder, x), n_outputs)
            dim = max(2, min(n_outputs, 8)) if dim is None else dim
            if trees is None:
                reading = PiecewiseLinear.fit(x.numpy(), n_pieces)
                return cls(TabularEncoder(x.shape[1], hidden, dim, reading), dim, n_outputs)
            network = cls(TabularEncoder(x.shape[1], (), dim, trees), dim, n_outputs)
            network._begin_with_trees(trees.added)
            return network

    @torch.no_grad()
    def _begin_with_trees(self, added: int) -> None:
        """Have the outputs be the log-odds of the trees, and z a rotation of them: the outputs where it is as wide."""
        dim, n_outputs, wide = self.dim, self.head.out_features, cast(TabularEncoder, self.encoder).wide
        of_trees = torch.tensor([[-0.5], [0.5]]) if added == 1 else torch.eye(added)  # of two classes, half each
        spread = torch.eye(dim) if dim == n_outputs else nn.init.orthogonal_(torch.empty(dim, n_outputs))
        wide.weight.zero_()
        wide.weight[:, -added:] = spread @ of_trees
        wide.bias.zero_()
        self.head.weight.copy_(torch.linalg.pinv(spread))
        self.head.bias.zero_()

    @contextmanager
    def read_beforehand(self) -> Iterator[None]:
        """Take inputs that are what the encoder's trees would make of them, such as predictions of rows not seen."""
        encoder = self.encoder
        trees = encoder.reading if isinstance(encoder, TabularEncoder) and encoder.trees_read else None
        if trees is None:
            yield
            return
        cast(TabularEncoder, encoder).reading = nn.Identity()
        try:
            yield
        finally:
            cast(TabularEncoder, encoder).reading = trees

    @property
    def reads_trees(self) -> bool:
        """Whether the encoder reads boosted trees."""
        return isinstance(self.encoder, TabularEncoder) and bool(self.encoder.trees_read)

    def compute_ridge(self, n: int) -> Tensor | float:
        """Compute what a loss over n rows is to add for the size of what is learned beside trees."""
        encoder = self.encoder
        if not isinstance(encoder, TabularEncoder) or not encoder.trees_read:
            return 0.0
        weight = encoder.wide.compute_plain()[0][:, : -encoder.trees_read]
        return (0.5 * _RIDGE_BESIDE_TREES / n) * weight.square().sum()

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> Self:
        """Make the network around a `TabularEncoder` whose ``state_dict`` this is, in double precision."""
        layers = [k for k in state if k.startswith("encoder.deep.") and k.endswith(".weight")]
        hidden = [len(state[k]) for k in sorted(layers, key=lambda k: int(k.split(".")[2]))[:-1]]
        n_outputs, dim = state["head.weight"].shape
        reading: PiecewiseLinear | BoostedTrees | None = None
        n_inputs = state["encoder.wide.weight"].shape[1]
        if "encoder.reading.low" in state:
            low = state["encoder.reading.low"]
            reading = PiecewiseLinear(torch.zeros(len(low), dtype=torch.long), torch.zeros_like(low), low)
        if "encoder.reading.order" in state:
            prefix = "encoder.reading."
            reading = BoostedTrees.from_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
        n_inputs -= 0 if reading is None else reading.added
        with seeded(0):
            network = cls(TabularEncoder(n_inputs, hidden, dim, reading), dim, n_outputs).double()
        if "cells.places" in state:
            network.cells = Cells.from_state_dict({k.removeprefix("cells."): v for k, v in state.items()})
        network.load_state_dict(dict(state))
        return network

    def load_point(self, state: Mapping[str, Tensor]) -> None:
        """Load parameters of a point that a `WeightPath` has kept while the linear map learned in white coordinates."""
        if isinstance(self.encoder, TabularEncoder):
            for name in ("mean", "whitening"):
                kept = state.get(f"encoder.wide.{name}")
                setattr(self.encoder.wide, name, None if kept is None else kept.double())
        self.load_state_dict(dict(state), strict=False)
        self.unwhiten()

    def group_parameters(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Make groups for an optimiser, whose ``rate`` is that before any schedule; linear maps are not decayed."""

        def group(module: nn.Module, decay: float, rate: float = learning_rate) -> dict[str, Any]:
            return {"params": list(module.parameters()), "weight_decay": decay, "rate": rate}

        head, encoder = group(self.head, 0.0), self.encoder
        if not isinstance(encoder, TabularEncoder):
            return [group(encoder, weight_decay), head]
        if encoder.deep is None:
            times = _RATE_BESIDE_TREES if encoder.trees_read else _RATE_OF_LINEAR_ENCODER
            return [group(encoder.wide, 0.0, times * learning_rate), head]
        return [group(encoder.deep, weight_decay), group(encoder.wide, 0.0), head]

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Have the linear map of a `TabularEncoder` learn in coordinates in which what it reads of x is white."""
        if isinstance(self.encoder, TabularEncoder):
            every = -(-len(x) // _ROWS_WHITENED)  # of a large table some rows will do
            self.encoder.wide.whiten(self.encoder.reading(x[::every]))

    def unwhiten(self) -> None:
        """Make the encoder's linear map an ordinary one again."""
        if isinstance(self.encoder, TabularEncoder):
            self.encoder.wide.unwhiten()


class TableModel(ABC):
    """A model of tables, with ``network_`` once it is fitted, that can be served."""

    network_: TabularNetwork

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return inputs and outputs as plain JSON; see `midebias.serving.ServedTable`."""

    @abstractmethod
    def compute_outputs(self, columns: Sequence[Column]) -> tuple[NDArray[np.float64], ...]:
        """Return what a `midebias.serving.ServedTable` of it should, for columns as in fit."""


@torch.no_grad()
def _measure_width(encoder: Any, x: Tensor) -> int:
    """Columns of z, of a user's encoder."""
    if not isinstance(encoder, nn.Module):
        raise InputError(f"module must be or make a torch.nn.Module, got {type(encoder).__name__}")
    encoder.double().eval()
    try:
        z = encoder(x[:2])
    except RuntimeError as error:
        raise InputError(f"module cannot encode x of shape (n, {x.shape[1]}): {error}") from error
    if z.ndim != 2 or len(z) != 2:
        raise InputError(f"module must return z of shape (n, dim), got {tuple(z.shape)} for n = 2")
    return int(z.shape[1])
