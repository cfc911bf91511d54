"""Boosted trees as a module, so that a network can read what they predict."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_DEPTH, _LEAVES = 6, 16
_ROUNDS, _RATE = 100, 0.15
FOLDS = 3
_LAST_DIGITS = 1e-9
_ROWS_AT_ONCE = 1024  # the places of all rows in all trees should fit a processor's cache


class BoostedTrees(nn.Module):
    """x (n, p) beside the log-odds that boosted trees predict of it: (n, p + added).

    Trees are scikit-learn's, grown on each two of three folds; the mean over the folds is predicted. How many rounds
    are kept is decided by the rows that each fold's trees have not seen. One-hot columns of a category are read as one
    number, the rank of the category by its frequency, which makes trees a few times faster and no worse.

    Parameters
    ----------
    order : Tensor of shape (p, q)
        x @ order are the numbers that trees compare.
    nodes : int
        Of all trees together; `fit` fills them.
    added : int
        Log-odds predicted: one of two classes, else one of each class.

    References
    ----------
    Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001. Wolpert, "Stacked
    generalization", 1992, for the predictions of rows not seen.
    """

    def __init__(self, order: Tensor, trees: int, nodes: int, added: int) -> None:
        super().__init__()
        self.order, self.roots, self.start = nn.Buffer(order), nn.Buffer(torch.zeros(trees).long()), nn.Buffer(
            torch.zeros(added).double()
        )  # fmt: skip
        self.columns, self.branches = nn.Buffer(torch.zeros(nodes).long()), nn.Buffer(torch.zeros(2 * nodes).long())
        self.thresholds, self.values = nn.Buffer(torch.zeros(nodes).double()), nn.Buffer(torch.zeros(nodes).double())

    @classmethod
    def fit(
        cls, x: NDArray[np.float64], categories: Sequence[slice], y: NDArray[np.int64],
        weights: NDArray[np.float64] | None, *, seed: int,
    ) -> tuple[Self, Tensor]:  # fmt: skip
        """Grow trees for codes y of rows x, whose columns ``categories`` are one-hot; return log-odds of unseen rows.

        The latter are (n, added): of each row by the trees of the folds that it was not in.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import StratifiedKFold

        order = _order_categories(x, categories)
        numbers, codes, n_classes = torch.from_numpy(x @ order), torch.from_numpy(y), int(y.max()) + 1
        added = 1 if n_classes == 2 else n_classes
        folds, unseen = [], torch.zeros(len(x), _ROUNDS, added, dtype=torch.float64)
        for kept, left in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
            model = HistGradientBoostingClassifier(
                learning_rate=_RATE, max_iter=_ROUNDS, max_leaf_nodes=_LEAVES, max_depth=_DEPTH, early_stopping=False,
                random_state=seed,
            )  # fmt: skip
            model.fit(numbers[kept].numpy(), y[kept], sample_weight=None if weights is None else weights[kept])
            folds.append((_list_trees(model), torch.from_numpy(model._baseline_prediction).reshape(added)))
            fold = cls._join(torch.eye(numbers.shape[1]).double(), folds[-1:], added)
            unseen[left] = fold._predict_rounds(numbers[left]).cumsum(dim=1) + fold.start
        outputs = torch.cat([torch.zeros_like(unseen), unseen], dim=2) if added == 1 else unseen
        chosen = -outputs.log_softmax(dim=2).gather(2, codes[:, None, None].expand(-1, _ROUNDS, 1))[:, :, 0]
        losses = chosen.mean(0) if weights is None else (chosen * torch.from_numpy(weights)[:, None]).sum(0)
        best = int(losses.argmin())
        kept_rounds = [(trees[: (best + 1) * added], start) for trees, start in folds]
        return cls._join(torch.from_numpy(order), kept_rounds, added), unseen[:, best].contiguous()

    @classmethod
    def _join(cls, order: Tensor, folds: Sequence[tuple[list[Any], Tensor]], added: int) -> Self:
        """Put the trees of several folds into one module, whose prediction is the mean over them."""
        trees = [nodes for fold, _ in folds for nodes in fold]
        offsets = np.cumsum([0, *map(len, trees)])
        joint = cls(order, len(trees), int(offsets[-1]), added)
        joint.roots.copy_(torch.from_numpy(offsets[:-1]))
        nodes, leaf = np.concatenate(trees), np.concatenate([nodes["is_leaf"] == 1 for nodes in trees])
        itself, shift = np.arange(len(nodes)), np.repeat(offsets[:-1], np.diff(offsets))
        joint.columns.copy_(torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"].astype(np.int64))))
        # A threshold may be a value of the table, which another runtime computes with another last digit.
        thresholds = nodes["num_threshold"] + _LAST_DIGITS * np.maximum(np.abs(nodes["num_threshold"]), 1.0)
        joint.thresholds.copy_(torch.from_numpy(np.where(leaf, 0.0, thresholds)))
        children = [np.where(leaf, itself, shift + nodes[side].astype(np.int64)) for side in ("left", "right")]
        joint.branches.copy_(torch.from_numpy(np.column_stack(children).ravel()))
        joint.values.copy_(torch.from_numpy(np.where(leaf, nodes["value"], 0.0) / len(folds)))
        joint.start.copy_(torch.stack([start for _, start in folds]).mean(0))
        return joint

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> Self:
        """Make a module of the sizes of ``state``, which is then to be loaded."""
        return cls(torch.zeros_like(state["order"]), len(state["roots"]), len(state["values"]), len(state["start"]))

    @property
    def added(self) -> int:
        """Columns that are added to x."""
        return len(self.start)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, p) and its log-odds: (n, p + added)."""
        return torch.cat([x, self.predict(x)], dim=1)

    def predict(self, x: Tensor) -> Tensor:
        """Log-odds (n, added) of x (n, p)."""
        return self._predict_rounds(x @ self.order).sum(dim=1) + self.start

    def _predict_rounds(self, numbers: Tensor) -> Tensor:
        """What each round of trees adds: (n, rounds, added)."""
        if not torch.compiler.is_exporting() and len(numbers) > _ROWS_AT_ONCE:
            return torch.cat([self._predict_rounds(part) for part in numbers.split(_ROWS_AT_ONCE)])
        place = self.roots.expand(numbers.shape[0], -1)
        for _ in range(_DEPTH):
            is_right = numbers.gather(1, self.columns[place]) > self.thresholds[place]
            place = self.branches[2 * place + is_right.long()]
        return self.values[place].reshape(numbers.shape[0], -1, self.added)


def _order_categories(x: NDArray[np.float64], categories: Sequence[slice]) -> NDArray[np.float64]:
    """A matrix (p, q) that makes one number of the columns of each category, and leaves the others."""
    one_hot = {j for block in categories for j in range(block.start, block.stop)}
    numbers = [j for j in range(x.shape[1]) if j not in one_hot]
    order = np.zeros((x.shape[1], len(numbers) + len(categories)))
    order[numbers, range(len(numbers))] = 1.0
    for k, block in enumerate(categories, start=len(numbers)):
        ranks = np.argsort(np.argsort(x[:, block].sum(axis=0), kind="stable"), kind="stable")
        order[block, k] = 1.0 + ranks  # a category not seen is 0
    return order


def _list_trees(model: Any) -> list[Any]:
    """Nodes of each tree, round after round: scikit-learn keeps them in structured arrays."""
    return [predictor.nodes for of_round in model._predictors for predictor in of_round]
