"""`MIPenalty`: an estimator made differentiable in z and kept up to date while the encoder moves."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..arguments import check_groups, checked
from ..attributes import Attribute, Continuous
from ..devices import at_device, follow
from ..distributed import Pool, Ranks, Traffic, refusal_told, world
from ..errors import InputError, TooFewSamples
from ..estimators import GaussianMI, LearnedGaussianMI
from ..estimators.interface import Estimator
from ..estimators.registry import CRITICS, DECODERS, NetworkName
from ..representations import FeatureMap, Shape, Summary, Tokens, check_shape, width_of
from .budget import DualAscent
from .gradient_balance import GradientBalance, gradient_length
from .health import Health
from .pair_bank import Bank
from .preconditioning import precondition

__all__ = ["Criterion", "FeatureMap", "Health", "MIPenalty", "Tokens"]


EstimatorName = Literal["gaussian_learned", "gaussian", "gaussian_linear"] | NetworkName

_FILL = 64  # pairs a closed form is computed from, at least, where the bank holds them


@dataclass(frozen=True)
class _Given:
    """What is known of a batch's rows: c as it was given and encoded, the groups, and whether c is there."""

    c: Tensor
    values: Tensor
    groups: Tensor | None
    present: Tensor

    @property
    def missing(self) -> int:
        return len(self.present) - int(self.present.sum())

    def kept(self) -> _Given:
        """The rows that have c."""
        groups = None if self.groups is None else self.groups[self.present]
        return _Given(self.c[self.present], self.values[self.present], groups, self.present[self.present])


class MIPenalty(nn.Module):
    r"""Differentiable I(Z;C|Y) or I(Z;C) to add to a loss.

    ``loss = task_loss + mi_weight * penalty(z, c, y)`` is the one line. In training mode each call first
    brings the critic up to date on detached z (closed forms have none), stores the pairs in the bank, and
    returns the estimate on this batch. ``penalty.backward(task_loss, z, c, y)`` is the balanced form: the
    gradient of the estimate is combined with the task's at z, and one backward pass runs through the encoder.

    Parameters
    ----------
    dim : int, FeatureMap, Tokens, or a sequence of them
        The representation, or several depths at once: ``[FeatureMap(64), 128]`` goes with
        ``penalty([feature_map, z], c, y)``.
    attribute : Attribute
        What c is.
    criterion : {"separation", "independence"}, default "separation"
        I(Z;C|Y), the representation's form of equalized odds, or I(Z;C), demographic parity's form.
    condition_on : callable, optional
        Maps the third argument of the call to the integer labels to condition on; default is itself.
    estimator : str or callable
        Default "gaussian_learned": `LearnedGaussianMI`, sees most. "gaussian" and "gaussian_linear" are
        `GaussianMI` on random features and on z itself: no critic to train, cheapest. "donsker_varadhan" is
        the paper's; "nwj", "jensen_shannon", "smile", "info_nce", "club" and "barber_agakov" are the other estimators
        with a critic. A callable is given (dim, attribute_dim) and returns an estimator module.
    gradient_ratio : float, default 1.0
        Of `backward`: the length of the penalty's gradient over the task's, at each representation.
    max_mi : float, optional
        A budget in nats for the estimate of each representation, kept by a multiplier that dual ascent moves (see
        `DualAscent`): it multiplies the estimate that a call returns, and ``gradient_ratio`` in `backward`.
        ``multipliers`` are the present ones.
    preconditioning : float, optional
        The gradient at z is multiplied by this power, in [0, 1], of z's covariance within groups; see
        `precondition`. Default 1/3 for "gaussian_learned", else 0: the gradient of the estimate itself.
    critic_steps : int, default 10
        Critic updates per call, for estimators that have a critic.
    critic_warmup : int, default 100
        Critic updates before its estimate is first descended on.
    critic_lr : float, default 3e-3
    bank : int, optional
        Recent pairs kept; default 2048 where a critic trains on them, else 64. Closed forms add the newest to a
        batch of fewer than 64 until it counts so many: older pairs come from an older encoder, and chasing them
        makes it swing.
    n_groups : int, default 64
        Largest number of labels a critic can be conditioned on. Closed forms have no limit.
    process_group : {"world", None} or ProcessGroup, default "world"
        Whose rows one estimate is made of, in training mode: with "world" those of all processes, where
        torch.distributed is initialised, so that marginals, bank and moments are those of the global batch; None keeps
        to this process's rows. All ranks of the group then call the penalty in step, with as many rows as each has,
        even none.
    seed : int, default 0

    Notes
    -----
    The penalty comes along to the device of z, whatever device c and y are on.

    An estimate that is at or below zero, not finite, or from a critic that is not trained is returned as a zero
    that still depends on z, with a zero gradient, and counted in `health`; a critic whose estimates stay
    unusable for 100 calls raises a `RuntimeWarning` once.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, arXiv 2003.06430.

    Examples
    --------
    >>> import torch
    >>> from midebias import MIPenalty
    >>> from midebias.attributes import Categorical
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randint(2, (256,), generator=generator)
    >>> z = (c[:, None] + 0.3 * torch.randn(256, 8, generator=generator)).requires_grad_()
    >>> penalty = MIPenalty(8, Categorical(2), criterion="independence")
    >>> nats = penalty(z, c)
    >>> nats.backward()
    >>> bool(nats > 0.5), z.grad.shape
    (True, torch.Size([256, 8]))
    """

    @checked
    def __init__(
        self,
        dim: Shape | Sequence[Shape],
        attribute: Attribute,
        *,
        criterion: Criterion = "separation",
        condition_on: Callable[[Tensor], Tensor] | None = None,
        estimator: EstimatorName | Callable[[int, int], nn.Module] = "gaussian_learned",
        gradient_ratio: float = 1.0,
        max_mi: float | None = None,
        preconditioning: float | None = None,
        critic_steps: int = 10,
        critic_warmup: int = 100,
        critic_lr: float = 3e-3,
        bank: int | None = None,
        n_groups: int = 64,
        process_group: Any = "world",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(process_group, str) and process_group != "world":
            raise InputError(f"process_group must be 'world', None or a ProcessGroup, got {process_group!r}")
        if criterion not in ("separation", "independence"):
            raise InputError(f"criterion must be 'separation' or 'independence', got {criterion!r}")
        if condition_on is not None and criterion == "independence":
            raise InputError("condition_on goes with criterion='separation': 'independence' conditions on nothing")
        if not isinstance(attribute, Attribute):
            raise InputError(f"attribute must be Categorical, Continuous or Attributes, got {attribute!r}")
        if not 0 <= gradient_ratio < math.inf:
            raise InputError(f"gradient_ratio must be at least 0 and finite, got {gradient_ratio}")
        if critic_steps < 0 or critic_warmup < 0 or not critic_lr > 0:
            raise InputError("critic_steps and critic_warmup must be >= 0 and critic_lr > 0")
        if preconditioning is None:
            preconditioning = 1 / 3 if estimator == "gaussian_learned" else 0.0
        if not 0 <= preconditioning <= 1:
            raise InputError(f"preconditioning must lie in [0, 1], got {preconditioning}")
        self.preconditioning = preconditioning
        self.shapes: tuple[Shape, ...] = (dim,) if isinstance(dim, (int, FeatureMap, Tokens)) else tuple(dim)
        widths = [width_of(shape) for shape in self.shapes]
        if not widths or min(widths) < 1:
            raise InputError(f"dim must name at least one representation of size >= 1, got {dim!r}")
        self.attribute, self.criterion, self.condition_on = attribute, criterion, condition_on
        self.gradient_ratio, self.critic_steps, self.critic_warmup = gradient_ratio, critic_steps, critic_warmup
        groups = n_groups if criterion == "separation" else 0
        build = _builder(estimator, attribute, groups, seed) if isinstance(estimator, str) else estimator
        self.estimators = nn.ModuleList(build(w, attribute.dim) for w in widths)
        for each in self.estimators:
            if not isinstance(each, Estimator):
                raise InputError(f"estimator must build estimator modules, got {type(each).__name__}")
        self._alike = len(widths) > 1 and estimator == "gaussian"
        trainable = any(p.requires_grad for p in self.estimators.parameters())
        self.bank = (2048 if trainable else _FILL) if bank is None else bank
        self.banks = nn.ModuleList(Bank(self.bank, w, attribute.width) for w in widths)
        self.balances = nn.ModuleList(GradientBalance() for _ in widths)
        self.budgets = nn.ModuleList([] if max_mi is None else (DualAscent(max_mi) for _ in widths))
        self.health = [Health() for _ in widths]
        self.estimates: list[float] = [0.0] * len(widths)
        self._factors: list[Tensor | float] = [0.0] * len(widths)
        self._generator = torch.Generator().manual_seed(seed)
        self._warned = False
        self.process_group = process_group
        self._group: Ranks | None = None
        critic = [p for p in self.estimators.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(critic, lr=critic_lr, fused=True) if critic else None

    def forward(self, z: Tensor | Sequence[Tensor], c: Tensor, y: Tensor | None = None) -> Tensor:
        """Bring the critic up to date (training mode), then estimate.

        Parameters
        ----------
        z : Tensor, or a sequence of Tensors as in ``dim``
        c : Tensor of shape (n,) or (n, attribute.width)
        y : integer Tensor of shape (n,)
            Needed for ``criterion="separation"``.

        Returns
        -------
        Tensor
            Scalar in nats, >= 0, differentiable in z; the sum over representations, whose single estimates
            stand in ``self.estimates``. Under a budget each is multiplied by its weight.

        Raises
        ------
        InputError
            Wrong shapes, dtypes or labels, or NaN in z; the message names the argument. On every rank, when one of
            them refuses what it was given.
        """
        with refusal_told(self._ranks(), 3):
            representations = _several(z)
            given = self._inputs(representations, c, y)
            summaries = [Summary(h, self.shapes[k], name=self._name(k)).values for k, h in enumerate(representations)]
        terms = self._estimates(summaries, given)
        weighted = [self._weighted(k, term) for k, term in enumerate(terms)]
        return weighted[0] if len(weighted) == 1 else torch.stack(weighted).sum()

    def backward(
        self,
        task_loss: Tensor,
        z: Tensor | Sequence[Tensor],
        c: Tensor,
        y: Tensor | None = None,
    ) -> Tensor:
        """Backpropagate task and penalty with one pass through the encoder.

        Where the gradient of ``task_loss`` arrives at z on its way to the encoder, the gradient of the
        estimate joins it, ``gradient_ratio`` times as long (see `GradientBalance`). Call ``optimizer.step()``
        afterwards, as after ``loss.backward()``.

        Returns
        -------
        Tensor
            The estimate in nats, detached; the sum over representations.

        Raises
        ------
        InputError
            As in `forward`; also when z does not need a gradient or ``task_loss`` does not depend on it.
        """
        with refusal_told(self._ranks(), 3):
            representations = _several(z)
            given = self._inputs(representations, c, y)
            if not isinstance(task_loss, Tensor) or task_loss.numel() != 1:
                raise InputError("task_loss must be a scalar torch.Tensor")
            if not all(h.requires_grad for h in representations):
                raise InputError("z needs a gradient: pass the encoder's output itself, not detached")
            summaries = [Summary(h.detach(), self.shapes[k], name=self._name(k)) for k, h in enumerate(representations)]
        leaves = [summary.values.detach().requires_grad_() for summary in summaries]
        with torch.enable_grad():
            total = torch.stack(self._estimates(leaves, given)).sum()
            gradients = torch.autograd.grad(total, leaves)
        mi_lengths = [summary.gradient_norm(g).float() for summary, g in zip(summaries, gradients, strict=True)]
        ranks = self._ranks()
        if ranks is not None:
            mi_lengths = ranks.lengths(*mi_lengths)
        handles, task_lengths = [], list[Tensor | None]([None] * len(representations))

        def join(k: int) -> Callable[[Tensor], Tensor]:
            balance: Any = self.balances[k]

            def hook(g_task: Tensor) -> Tensor:
                length = task_lengths[k] = gradient_length(g_task)
                if ranks is not None and int(balance.steps) == 0:
                    (length,) = ranks.lengths(length)
                factor = balance(length, mi_lengths[k], self.gradient_ratio * self.multipliers[k])
                self._factors[k] = factor.detach()
                return summaries[k].add_gradient(g_task, gradients[k] * factor)

            return hook

        try:
            for k, h in enumerate(representations):
                handles.append(h.register_hook(join(k)))
            task_loss.backward()
        finally:
            for handle in handles:
                handle.remove()
        reached = [length for length in task_lengths if length is not None]
        if len(reached) < len(task_lengths):
            raise InputError(f"task_loss does not depend on z[{task_lengths.index(None)}]: nothing to balance against")
        # At the end, where ranks have just met over the encoder's gradient: all of them together, and nobody waits.
        balances: Any = self.balances
        for balance, length in zip(balances, ranks.lengths(*reached) if ranks else reached, strict=True):
            balance.observe(length)
        return total.detach()

    @property
    def multipliers(self) -> tuple[float, ...]:
        """Where the weight of each representation stands under a budget; 1 without one."""
        if not self.budgets:
            return (1.0,) * len(self.shapes)
        budgets: Any = self.budgets
        return tuple(float(b.multiplier) for b in budgets)

    @property
    def weights(self) -> tuple[float, ...]:
        """What the gradient of each estimate was multiplied by in the latest `backward`; 0 before the first."""
        return tuple(float(f) for f in self._factors)

    def _weighted(self, k: int, term: Tensor) -> Tensor:
        return term * self.multipliers[k] if self.budgets else term

    def _name(self, k: int) -> str:
        return "z" if len(self.shapes) == 1 else f"z[{k}]"

    def _inputs(self, representations: list[Tensor], c: Tensor, y: Tensor | None) -> _Given:
        if len(representations) != len(self.shapes):
            raise InputError(f"z must hold {len(self.shapes)} representations as in dim, got {len(representations)}")
        for k, (h, shape) in enumerate(zip(representations, self.shapes, strict=True)):
            check_shape(h, shape, self._name(k))
        n = len(representations[0])
        if any(len(h) != n for h in representations):
            raise InputError(f"z must hold equally many samples, got {[len(h) for h in representations]}")
        device = representations[0].device
        if self.banks[0].z.device != device:
            follow(self, self._optimizer, device)
        c, y = at_device(device, c, y)
        values, present = self.attribute.encode(c)
        if len(values) != n:
            raise InputError(f"c must have {n} rows like z, got {len(values)}")
        groups = None
        if self.criterion == "separation":
            if y is None:
                raise InputError("y is needed for criterion='separation'; use 'independence' to go without")
            groups = self.condition_on(y) if self.condition_on is not None else y
            check_groups(groups, n)
            groups = groups.long()
        return _Given(c[:, None] if c.ndim == 1 else c, values, groups, present)

    def _estimates(self, representations: list[Tensor], given: _Given) -> list[Tensor]:
        """One for each representation; closed forms on random features together, where nothing keeps them apart."""
        pool: Pool | None = None
        ranks = self._ranks()
        if ranks is not None:
            representations, given, pool = self._global_batch(ranks, representations, given)
        ready: Sequence[Tensor | None] = [None] * len(representations)
        n = len(given.c) if pool is None else pool.n
        together = self._alike and not self.preconditioning and n >= _FILL and not given.missing
        if together and len({h.dtype for h in representations}) == 1:
            first = self.estimators[0]
            assert isinstance(first, GaussianMI)
            with contextlib.suppress(TooFewSamples):  # then each is asked, and says so itself
                ready = first.several(representations, given.values, given.groups, pool=pool).unbind()
        return [self._estimate(k, h, given, ready[k], pool) for k, h in enumerate(representations)]

    def _ranks(self) -> Ranks | None:
        """Whose rows are pooled; None where only this process's are."""
        if not self.training or self.process_group is None:
            return None
        if isinstance(self.process_group, str):
            return world()
        if self._group is None:
            self._group = Ranks(self.process_group)
        return self._group

    @property
    def traffic(self) -> Traffic:
        """What was communicated for estimates so far; by all penalties together, where they share the group."""
        ranks = world() if isinstance(self.process_group, str) else self._group
        return Traffic() if ranks is None else ranks.traffic

    def _global_batch(
        self, ranks: Ranks, representations: list[Tensor], given: _Given
    ) -> tuple[list[Tensor], _Given, Pool | None]:
        """The rows with c present, of all ranks; or this rank's, with a pool, where sums over rows are enough."""
        missing = given.missing
        if missing:
            representations, given = [h[given.present] for h in representations], given.kept()
        c, groups = given.c, given.groups
        highest = int(groups.max()) + 1 if groups is not None and len(groups) else 0
        told = ranks.told(len(c), highest, missing)
        counts = [t[0] for t in told]
        for health in self.health:
            health.missing += sum(t[2] for t in told)
        summable = all(getattr(e, "pools_moments", False) for e in self.estimators) and not self.preconditioning
        if summable and sum(counts) >= _FILL:
            return representations, given, Pool(ranks, sum(counts), max(t[1] for t in told))
        banks: Any = self.banks
        for bank in banks:
            bank.collect(ranks)
        representations = [ranks.rows(h, counts) for h in representations]
        c = ranks.gathered(c, counts)
        groups = None if groups is None else ranks.gathered(groups, counts)
        values, present = self.attribute.encode(c)
        return representations, _Given(c, values, groups, present), None

    def _estimate(
        self,
        k: int,
        h: Tensor,
        given: _Given,
        ready: Tensor | None,
        pool: Pool | None = None,
    ) -> Tensor:
        health = self.health[k]
        estimator: Any = self.estimators[k]
        whole = h
        missing = given.missing
        if missing:
            health.missing += missing
            h, given = h[given.present], given.kept()
        c, values, groups = given.c, given.values.to(h.dtype), given.groups
        bank = self.banks[k]
        assert isinstance(bank, Bank)
        if (len(h) if pool is None else pool.n) < (1 if estimator.closed_form else 2):
            return self._skip(k, "too_few", whole)
        try:
            # The critic learns from the pairs before this batch, so that the estimate is made on fresh ones.
            if self.training and estimator.trainable:
                known = int(bank.filled) >= max(2, len(h) // 2)
                self._train_critic(estimator, *(bank.rows() if known else (h.detach(), c, groups)))
            if estimator.trainable and int(estimator.updates) < max(1, self.critic_warmup):
                return self._skip(k, "untrained", whole)
            shaped = precondition(h, groups, self.preconditioning)
            if pool is not None and ready is None:
                ready = estimator(shaped, values, groups, pool=pool)
            term = self._filled(estimator, bank, shaped, values, groups) if ready is None else ready
        except TooFewSamples:
            return self._skip(k, "too_few", whole)
        finally:
            if self.training:
                bank.push(h, c, groups)
                bank.scattered = -1 if pool is None else len(h)
        value = float(term.detach())
        self.estimates[k] = value
        if self.budgets and self.training:
            budget = self.budgets[k]
            assert isinstance(budget, DualAscent)
            budget.observe(value)
        if value != value or value in (float("inf"), float("-inf")):
            return self._skip(k, "not_finite", whole)
        if value <= 0.0:
            return self._skip(k, "negative", whole)
        health.used += 1
        health.streak = 0
        return term

    def _filled(self, estimator: Any, bank: Bank, h: Tensor, values: Tensor, groups: Tensor | None) -> Tensor:
        """The estimate on this batch, filled up with recent pairs where the estimator gains by them."""
        n = len(h)
        m = min(_FILL - n, int(bank.filled)) if estimator.closed_form else 0
        if m <= 0:
            term: Tensor = estimator(h, values, groups)
            return term
        old_h, old_c, old_groups = bank.rows(m)
        # Only this batch carries a gradient; it is scaled up to stand for the rows beside it.
        scaled = h.detach() + (h - h.detach()) * ((n + m) / n)
        filled: Tensor = estimator(
            torch.cat([scaled, old_h.to(h)]),
            torch.cat([values, self.attribute.encode(old_c)[0].to(values)]),
            None if groups is None else torch.cat([groups, old_groups]),
        )
        return filled

    def _skip(self, k: int, reason: str, h: Tensor) -> Tensor:
        health = self.health[k]
        setattr(health, reason, getattr(health, reason) + 1)
        health.streak += 1
        estimator: Any = self.estimators[k]
        # A closed form near zero says that nothing is left; a neural critic there may also be one that lags.
        alarming = reason != "negative" or not estimator.closed_form
        if alarming and health.streak >= 100 and not self._warned:
            self._warned = True
            warnings.warn(
                f"MIPenalty has not descended on representation {k} for {health.streak} calls, lately because "
                f"the estimate was {reason.replace('_', ' ')}: the penalty has no effect ({health}). "
                "Give the critic more steps, the batch more samples, or use estimator='gaussian'.",
                RuntimeWarning,
                stacklevel=4,
            )
        return h.sum() * 0.0

    @torch.enable_grad()
    def _train_critic(self, estimator: Any, z: Tensor, c: Tensor, groups: Tensor | None) -> None:
        if self._optimizer is None or len(z) < 2:
            return
        steps = self.critic_steps
        if steps and int(estimator.updates) < self.critic_warmup:
            steps = max(steps, self.critic_warmup)
        size = min(len(z), 256)
        for _ in range(steps):
            rows = torch.randint(len(z), (size,), generator=self._generator).to(z.device)
            inside = groups[rows] if groups is not None and self.criterion == "separation" else None
            pairs = z[rows], self.attribute.encode(c[rows])[0].to(z), inside
            if hasattr(estimator, "update"):
                estimator.update(*pairs, self._optimizer)
                continue
            loss = estimator.learning_loss(*pairs)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def get_extra_state(self) -> dict[str, Any]:
        """Optimiser, generator and health counts; with the buffers, all that a resumed run needs."""
        return {
            "generator": self._generator.get_state(),
            "optimizer": None if self._optimizer is None else self._optimizer.state_dict(),
            "health": [vars(h).copy() for h in self.health],
            "estimates": list(self.estimates),
            "warned": self._warned,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` saved."""
        self._generator.set_state(state["generator"].cpu())
        if self._optimizer is not None and state["optimizer"] is not None:
            self._optimizer.load_state_dict(state["optimizer"])
        self.health = [Health(**h) for h in state["health"]]
        self.estimates = list(state.get("estimates", self.estimates))
        self._warned = bool(state.get("warned", self._warned))


def _several(z: Tensor | Sequence[Tensor]) -> list[Tensor]:
    if not isinstance(z, (Tensor, list, tuple)):
        raise InputError(f"z must be a torch.Tensor, or a list of them, got {type(z).__name__}")
    return [z] if isinstance(z, Tensor) else list(z)


def _builder(name: str, attribute: Attribute, n_groups: int, seed: int) -> Callable[[int, int], nn.Module]:
    if name in CRITICS:
        return lambda dim, width: CRITICS[name](dim, width, n_groups=n_groups, seed=seed)
    if name in DECODERS:
        return lambda dim, _: DECODERS[name](dim, attribute, n_groups=n_groups, seed=seed)
    degree: Literal[1, 2] = 2 if isinstance(attribute, Continuous) and attribute.dim <= 8 else 1
    if name == "gaussian_learned":
        return lambda dim, width: LearnedGaussianMI(dim, width, attribute_degree=degree, seed=seed)
    if name == "gaussian":
        return lambda dim, width: GaussianMI(
            features="random", n_features=32, attribute_degree=degree, group_signs=True, ridge=1e-2, seed=seed
        )
    if name == "gaussian_linear":
        return lambda dim, width: GaussianMI(attribute_degree=degree, group_signs=True, ridge=1e-2, seed=seed)
    names = ", ".join(map(repr, ("gaussian_learned", "gaussian", "gaussian_linear", *CRITICS, *DECODERS)))
    raise InputError(f"estimator must be one of {names}, or a callable, got {name!r}")


Criterion = Literal["separation", "independence"]
