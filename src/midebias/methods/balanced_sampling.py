"""Groups of label and attribute sampled evenly."""

from typing import ClassVar

from torch import Tensor

from .attribute_groups import Groups
from .plain import Plain


class BalancedSampling(Plain):
    """Plain training on rows drawn so that all groups of label and joint attribute category count alike.

    An epoch draws as many rows as the training set has, with replacement, with probability proportional to 1 / (size
    of their group); a rare group is seen as copies of few rows.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`

    References
    ----------
    Idrissi, Arjovsky, Pezeshki, Lopez-Paz, "Simple data balancing achieves competitive worst-group-accuracy",
    CLeaR 2022, call it RWG.
    """

    name: ClassVar[str] = "balanced"
    masks_missing: ClassVar[bool] = False  # groups are of label and attribute

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor:
        """1 / (size of the row's group of ``levels`` and ``y``)."""
        groups = Groups(levels, y, self.problem.level_sizes)
        return 1 / groups.counts[groups(levels, y)].double()
