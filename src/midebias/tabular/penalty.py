"""The penalty of tables: on the representation, and on the decision."""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ..attributes import Attribute, Categorical
from ..estimators import DiscreteMI, GaussianMI
from ..penalty import Criterion, MIPenalty
from .leakage import MOST_NARROW

_MI_WEIGHT = 8.0
_WEAKER = {"independence": 2.5, "separation": 3.0}  # where z alone is penalised, or a budget moves the weight
_TEMPERATURE = 0.3  # by which outputs are divided to make them decisions
_DECISION_WEIGHTS = {"independence": 1.5, "separation": 3.0}


def choose_weights(
    criterion: Criterion, *, decides: bool, mi_weight: float | None, decision_weight: float | None
) -> tuple[float, float]:
    """Return ``mi_weight`` and ``decision_weight``, each as given or by default.

    ``decides`` says whether decisions are penalised: those of a classifier that keeps no budget, which is for z alone.
    """
    default = _MI_WEIGHT if decides else _WEAKER[criterion]
    of_decision = _DECISION_WEIGHTS[criterion] if decision_weight is None else float(decision_weight)
    return default if mi_weight is None else float(mi_weight), of_decision if decides else 0.0


class TabularPenalty(nn.Module):
    r"""I(Z;C) + ``decision_weight`` · I(Ŷ;C), or both given Y: of the representation, and of the decision.

    The representation is penalised by ``estimator``. A threshold turns a small dependence of scores into a larger one
    of decisions; therefore the decision of a classifier, its outputs at a low temperature, is penalised on its own: by
    `DiscreteMI` where the attribute is categorical, else by `GaussianMI`. Random features of more than eight columns
    are blind to what one of them tells; beside them such a z is penalised as it is, by "gaussian_linear".

    Parameters are those of `MIPenalty`, but for ``n_outputs``, the columns of the outputs, and ``decision_weight``: 0
    penalises the representation alone, which is the only choice where outputs are no logits.
    """

    def __init__(
        self, dim: int, n_outputs: int, attribute: Attribute, *, criterion: Criterion,
        condition_on: Attribute | None = None, decision_weight: float = 0.0,
        estimator: Any = "gaussian", bank: int | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.decision_weight, self.shapes = decision_weight, (n_outputs, dim)
        wide = ("gaussian_linear",) if estimator == "gaussian" and dim > MOST_NARROW else ()
        self.representation = nn.ModuleList(
            MIPenalty(dim, attribute, criterion=criterion, condition_on=condition_on, estimator=e, bank=bank, seed=seed)
            for e in (estimator, *wide)
        )

        def build_decision_estimator(width: int, attribute_dim: int) -> nn.Module:
            if isinstance(attribute, Categorical) and math.prod(attribute.sizes) <= 64:
                return DiscreteMI(width, attribute.sizes, n_groups=n_outputs if criterion == "separation" else 1)
            degree: Literal[1, 2] = 1 if isinstance(attribute, Categorical) else 2
            return GaussianMI(attribute_degree=degree, group_signs=True, ridge=1e-2, seed=seed)

        self.decision = None if not decision_weight else MIPenalty(
            n_outputs, attribute, criterion=criterion, estimator=build_decision_estimator, bank=bank, seed=seed
        )  # fmt: skip

    def forward(self, representations: Sequence[Tensor], c: Tensor, y: Tensor | None = None) -> Tensor:
        """Weighted sum in nats, differentiable; ``representations`` are the outputs (n, n_outputs) and z (n, dim)."""
        outputs, z = representations
        total: Tensor = torch.stack([penalty(z, c, y) for penalty in self.representation]).sum()
        if self.decision is None:
            return total
        # The same as a softmax over the last axis of few columns, which is slow.
        decided = (outputs.T / _TEMPERATURE).contiguous().softmax(dim=0).T
        return total + self.decision_weight * self.decision(decided, c, y)

    @property
    def readings(self) -> Tensor:
        """Latest estimates in nats, of the decision (where it is penalised) and of the representation."""
        of_z = torch.stack([cast(MIPenalty, penalty).readings for penalty in self.representation]).amax(dim=0)
        return of_z if self.decision is None else torch.cat([self.decision.readings, of_z])

    def weigh_budgets(self) -> tuple[float, ...]:
        """What each estimate counts beside the other."""
        return (1.0,) if self.decision is None else (self.decision_weight, 1.0)
