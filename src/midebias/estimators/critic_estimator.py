"""Base of estimators with a critic T(z, c), whose marginal pairs are made by permuting c inside the batch."""

from collections.abc import Sequence

from torch import Tensor

from ..arguments import checked
from ..randomness import seeded
from .critics import CriticName, build_critic
from .sampled_estimator import SampledEstimator


class CriticEstimator(SampledEstimator):
    """Base of estimators with a critic T(z, c), whose marginal pairs are made by permuting c inside the batch.

    With groups, c is permuted within each group and T sees the group: the estimate is of I(Z;C|G). Parameters are those
    of `NWJ`.
    """

    @checked
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        critic: CriticName = "joined",
        hidden: Sequence[int] = (64, 64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, attribute_dim, n_groups=n_groups, standardize=standardize, seed=seed)
        with seeded(seed):
            self.critic = build_critic(critic, dim, attribute_dim, hidden=hidden, n_groups=n_groups)

    def scores(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """T on joint pairs and on marginal pairs, each of shape (n,).

        Parameters
        ----------
        z, c, groups : Tensor
            As in `forward`.
        """
        return self._score(*self._check(z, c, groups), groups)

    def _score(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self._standardize(z)
        permutation = self._permute(len(z), groups).to(z.device, non_blocking=True)
        joint, marginal = self.critic.joint_and_marginal(z, c, permutation, groups)
        return joint, marginal
