"""The protocol of an estimator of mutual information, with its defaults. All information is in nats."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..distributed import Pool
from ..errors import InputError

Bound = Literal["lower", "upper", "exact"]


class Estimator(nn.Module, ABC):
    """An estimator of I(Z;C), or of I(Z;C|G) when groups are given: base of all of them, and of your own.

    A subclass has a ``bound`` and a ``forward``; one with a critic also says ``trainable = True`` and has a
    ``learning_loss``. All else has a default.

    Attributes
    ----------
    bound : {"lower", "upper", "exact"}
        On which side of the truth estimates lie in expectation.
    assumption : str
        Under which they do.
    trainable : bool
        Whether there is a critic, which learns from ``learning_loss``. Default False.
    closed_form : bool
        Whether the value is computed from moments of the very pairs that are given. A penalty then fills small batches
        up with recent pairs, and a value at zero says that nothing is left, not that a critic lags. Default False.
    pools_moments : bool
        Whether ``forward`` also takes ``pool=``, with which sums over the rows of all ranks are enough. Default False.
    takes_covariates : bool
        Whether ``groups`` may be float columns of shape (n, k), whose linear functions are conditioned on. Default
        False.
    remembers : bool
        Whether ``forward`` itself learns from the pairs that it is given. Then it also takes ``fresh=``, the number of
        those that come first and are new; the others fill a small batch up. Default False.
    recent_pairs : int
        Pairs that a penalty keeps for it. Default 2048 where a critic trains on them, else 64.
    preconditioning : float
        The power in [0, 1] that a penalty takes by default; see `midebias.penalty.preconditioning`. Default 0.

    Examples
    --------
    >>> import torch
    >>> class Correlation(Estimator):
    ...     bound = "exact"
    ...     def forward(self, z, c, groups=None):
    ...         return -0.5 * (1 - torch.corrcoef(torch.cat([z, c], dim=1).T)[0, 1] ** 2).log()
    >>> z = torch.arange(4.0)[:, None]
    >>> round(float(Correlation()(z, (z - 1) ** 2)), 2)    # correlation 0.745
    0.41
    """

    bound: Bound
    assumption: str = ""
    trainable: bool = False
    closed_form: bool = False
    pools_moments: bool = False
    takes_covariates: bool = False
    remembers: bool = False
    preconditioning: float = 0.0

    @property
    def recent_pairs(self) -> int:
        """Pairs that a penalty keeps."""
        return 2048 if self.trainable else 64

    @abstractmethod
    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats, a scalar that is differentiable in z.

        Parameters
        ----------
        z : Tensor of shape (n, dim)
        c : Tensor of shape (n, attribute_dim)
            The encoded attribute.
        groups : integer Tensor of shape (n,), optional
            Labels to condition on.
        """

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Scalar that the critic minimises, on detached pairs. By default zero: there is nothing to learn.

        Parameters
        ----------
        z, c, groups : Tensor
            As in `forward`.
        """
        return z.new_zeros(())

    def update(
        self, z: Tensor, c: Tensor, groups: Tensor | None, optimizer: torch.optim.Optimizer, *, steps: int = 1
    ) -> Tensor:
        """Take some steps of the critic's ``optimizer`` on detached pairs; return the last learning loss, a scalar.

        Parameters
        ----------
        z, c, groups : Tensor
            As in `forward`.
        optimizer : Optimizer
            Of the critic, among others perhaps, which have no gradient then.
        steps : int, default 1
        """
        loss = z.new_zeros(())
        for _ in range(steps):
            with torch.enable_grad():
                loss = self.learning_loss(z, c, groups)
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
        return loss.detach()

    def can_join(self, other: "Estimator") -> bool:
        """Whether `estimate_several` of this one may also estimate the representation of ``other``. By default not."""
        return False

    def estimate_several(
        self, representations: Sequence[Tensor], c: Tensor, groups: Tensor | None = None, *, pool: Pool | None = None
    ) -> Tensor:
        """Estimates (m,) of m representations of the same samples at once; for estimators that can join.

        Parameters
        ----------
        representations : sequence of Tensor of shape (n, dim)
        c, groups : Tensor
            As in `forward`.
        pool : Pool, optional
            Then the rows are this rank's, and the estimates those of all ranks' rows.
        """
        raise NotImplementedError(f"{type(self).__name__} estimates one representation at a time")


class DrawingEstimator(Estimator):
    """Base of estimators that draw from a local generator, which `state_dict` holds."""

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def get_extra_state(self) -> Tensor:
        """State of the generator, so that a resumed run draws the same."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the generator."""
        self._generator.set_state(state.cpu())


_MEMBERS = (
    "bound", "assumption", "trainable", "closed_form", "pools_moments", "takes_covariates", "remembers",
    "recent_pairs", "preconditioning", "learning_loss", "update", "can_join", "estimate_several",
)  # fmt: skip


def check_estimator(module: object) -> Estimator:
    """Return ``module``; raise `InputError` for what it lacks to be an estimator."""
    if not isinstance(module, nn.Module):
        raise InputError(f"estimator must build estimator modules, got {type(module).__name__}")
    missing = [name for name in _MEMBERS if not hasattr(module, name)]
    if isinstance(module, Estimator) and module.trainable and type(module).learning_loss is Estimator.learning_loss:
        missing.append("learning_loss")
    if missing:
        raise InputError(
            f"estimator must build estimators; {type(module).__name__} lacks {', '.join(missing)}. "
            "midebias.estimators.Estimator, as its base, has defaults for all but bound, forward and a critic's "
            "learning_loss"
        )
    estimator: Estimator = module  # type: ignore[assignment]  # it has all members
    return estimator
