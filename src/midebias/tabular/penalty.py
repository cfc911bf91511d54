"""The penalty of tables: on the representation, and on the decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from ..attributes import Attribute, Categorical
from ..estimators import DiscreteMI, GaussianMI
from ..penalty.mi_penalty import Criterion, MIPenalty

__all__ = ["TabularPenalty", "TabularRows"]


@dataclass(frozen=True)
class TabularRows:
    """Rows as tensors: x (n, p), y (n,) or (n, k), c (n, width) or None, weights (n,) or None."""

    x: Tensor
    y: Tensor
    c: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> TabularRows:
        chosen: Any = (None if v is None else v.index_select(0, rows) for v in vars(self).values())
        return TabularRows(*chosen)


class TabularPenalty(nn.Module):
    r"""I(Z;C) + ``decision_weight`` · I(Ŷ;C), or both given Y: what is known, and what is decided.

    For classifiers. The representation is penalised by `GaussianMI` on random features. A threshold turns a small
    dependence of scores into a larger one of decisions; therefore the decision, the outputs at a low temperature, is
    penalised on its own: by `DiscreteMI` where the attribute is categorical, else by `GaussianMI`.

    Parameters
    ----------
    dim, n_outputs : int
    attribute : Attribute
    criterion : {"independence", "separation"}
    n_groups : int
        Labels that separation conditions on.
    decision_weight : float
    temperature : float
        Outputs are divided by it.
    estimator : str or callable
    bank : int, optional
        As in `MIPenalty`.
    seed : int
    """

    def __init__(
        self,
        dim: int,
        n_outputs: int,
        attribute: Attribute,
        *,
        criterion: Criterion,
        n_groups: int = 1,
        decision_weight: float = 1.0,
        temperature: float = 0.3,
        estimator: Any = "gaussian",
        bank: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.temperature, self.decision_weight = temperature, decision_weight
        self.shapes = (n_outputs, dim)
        self.representation = MIPenalty(dim, attribute, criterion=criterion, estimator=estimator, bank=bank, seed=seed)

        def of_decision(width: int, attribute_dim: int) -> nn.Module:
            if isinstance(attribute, Categorical) and math.prod(attribute.sizes) <= 64:
                return DiscreteMI(width, attribute.sizes, n_groups=n_groups if criterion == "separation" else 1)
            degree: Literal[1, 2] = 1 if isinstance(attribute, Categorical) else 2
            return GaussianMI(attribute_degree=degree, group_signs=True, ridge=1e-2, seed=seed)

        self.decision = MIPenalty(
            n_outputs,
            attribute,
            criterion=criterion,
            estimator=of_decision,
            bank=bank,
            seed=seed,
        )

    def forward(self, representations: Sequence[Tensor], c: Tensor, y: Tensor | None = None) -> Tensor:
        """Weighted sum in nats, differentiable; ``representations`` are the outputs (n, n_outputs) and z (n, dim)."""
        outputs, z = representations
        # The same as a softmax over the last axis of few columns, which is slow.
        decided = (outputs.T / self.temperature).contiguous().softmax(dim=0).T
        total: Tensor = self.representation(z, c, y)
        return total + self.decision_weight * self.decision(decided, c, y)

    @property
    def estimates(self) -> list[float]:
        """Latest estimates in nats, of the decision and of the representation."""
        return [*self.decision.estimates, *self.representation.estimates]

    @property
    def multipliers(self) -> tuple[float, float]:
        """What each estimate counts beside the other."""
        return self.decision_weight, 1.0
