"""`MIPenalty`: an estimator made differentiable in z and kept up to date while the encoder moves."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..attributes import Attribute
from ..deferred_reads import collect_refusals
from ..devices import disable_autocast, follow
from ..distributed import Ranks, Traffic, announce_refusal, check_process_group, find_ranks
from ..errors import InputError, TooFewSamples
from ..estimators.registry import DEFAULT_ESTIMATOR, EstimatorName, build_estimator
from ..representations import Shape, Summary, summarize
from .batch import Batch, Condition, Criterion, InputReader, expand_groups, gather_batch
from .critic_training import CriticTrainer
from .dual_ascent import DualAscent
from .gradient_balance import GradientBalance, check_task_loss, join_gradients
from .health import Estimate, EstimateRecord, Health, Reason
from .pair_bank import PairBank, choose_sizes
from .preconditioning import gate_gradient, precondition


class MIPenalty(EstimateRecord):
    r"""Differentiable I(Z;C|Y) or I(Z;C) to add to a loss.

    ``loss = task_loss + mi_weight * penalty(z, c, y)`` is the one line. In training mode each call first brings the
    critic, if any, up to date on detached z, and then returns the estimate on this batch.
    ``penalty.backward(task_loss, z, c, y)`` is the balanced form: the gradient of the estimate joins the task's at z,
    and one backward pass runs through the encoder.

    Parameters
    ----------
    dim : int, FeatureMap, Tokens, or a sequence of them
        The representation, or several at once: ``[FeatureMap(64), 128]`` goes with ``penalty([feature_map, z], c, y)``.
    attribute : Attribute
        What c is.
    criterion : {"separation", "independence"}, default "separation"
        I(Z;C|Y), the representation's form of equalized odds, or I(Z;C), demographic parity's form.
    condition_on : Attribute or callable, optional
        What the third argument is: a quantity is ``Continuous()``, one beside a label ``Attributes(Continuous(),
        Categorical(5))``, functions of which are taken off z and c. A callable maps it to labels, its default.
    estimator : str or callable
        A name of `build_estimator`. Default "prequential", which judges predictors on rows that they have not learned
        from; "gaussian" and "gaussian_linear" are cheapest; "gaussian_learned" and all after it train a critic, which
        learns rows by heart in wide z; "donsker_varadhan" is the paper's. A callable is given (dim, attribute_dim) and
        returns an `Estimator`.
    gradient_ratio : float, default 1.0
        Of `backward`: the length of the penalty's gradient over the task's, at each representation.
    max_mi : float, optional
        A budget in nats for each estimate, kept by a multiplier that dual ascent moves (see `DualAscent`): of the
        estimate that a call returns, and of ``gradient_ratio`` in `backward`.
    preconditioning : float, optional
        The gradient at z is multiplied by this power, in [0, 1], of z's covariance within groups; see `precondition`.
        Default is the estimator's own: 1/3 of "prequential" and "gaussian_learned", else 0.
    critic_steps : int, default 10
        Critic updates per call, for estimators that have a critic; a batch that the bank fills up gets its share.
    critic_warmup : int, default 100
        Critic updates before its estimate is first descended on.
    critic_lr : float, default 3e-3
        Learning rate of the critic's Adam.
    bank : int, optional
        Recent pairs kept; default is the estimator's own: 2048 where a critic trains on them, else 64. Closed forms
        fill smaller batches up with them: to 64 pairs, or to as many as given here (of a critic's bank, a quarter), at
        most 512. Older pairs come from an older encoder: chasing them makes it swing.
    n_groups : int, default 64
        Largest number of labels a critic can be conditioned on. Closed forms have no limit.
    process_group : {"world", None} or ProcessGroup, default "world"
        Whose rows one estimate is made of, in training mode: "world" takes those of all processes of torch.distributed,
        None those of this one. All ranks call the penalty in step, with as many rows as each has, even none.
    seed : int, default 0
        Of the critics' weights and of all that is drawn, from local generators.

    Notes
    -----
    The penalty comes along to the device of z. Rows that miss c, or what to condition on, are left out and counted in
    `health`, as is an estimate that is at or below zero, not finite, or from a critic that is not trained: it is
    returned as a zero with a zero gradient, and after 100 such calls in a row a `RuntimeWarning` is raised, once.

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
    >>> c = torch.arange(256) % 2
    >>> z = (c[:, None] + 0.3 * torch.randn(256, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()
    >>> nats = MIPenalty(8, Categorical(2), criterion="independence")(z, c)
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
        condition_on: Condition = None,
        estimator: EstimatorName | Callable[[int, int], nn.Module] = DEFAULT_ESTIMATOR,
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
        check_process_group(process_group)
        if preconditioning is not None and not 0 <= preconditioning <= 1:
            raise InputError(f"preconditioning must lie in [0, 1], got {preconditioning}")
        self._reader = InputReader(dim, attribute, criterion, condition_on, n_groups)
        self.shapes, widths = self._reader.shapes, self._reader.widths
        self.attribute, self.process_group = attribute, process_group
        groups = n_groups if criterion == "separation" else 0
        estimators = [build_estimator(estimator, w, attribute, n_groups=groups, seed=seed) for w in widths]
        self.estimators = nn.ModuleList(estimators)
        self.preconditioning = [e.preconditioning if preconditioning is None else preconditioning for e in estimators]
        plain, n_covariates = not any(self.preconditioning), self._reader.check_estimators(estimators)
        self._joined = plain and len(widths) > 1 and all(estimators[0].can_join(e) for e in estimators[1:])
        self._summable = plain and not n_covariates and all(e.pools_moments for e in estimators)
        sizes = [(*choose_sizes(e, bank), w) for e, w in zip(estimators, widths, strict=True)]
        self.banks = nn.ModuleList(PairBank(n, w, attribute, n_covariates, filled) for n, filled, w in sizes)
        self.critics = CriticTrainer(
            estimators, attribute, steps=critic_steps, warmup=critic_warmup, learning_rate=critic_lr, seed=seed
        )
        self.balances = nn.ModuleList(GradientBalance(gradient_ratio) for _ in widths)
        self.budgets = nn.ModuleList([] if max_mi is None else (DualAscent(max_mi) for _ in widths))
        nothing = [0.0] * len(widths)
        self.set_extra_state({"health": [vars(Health()) for _ in widths], "estimates": nothing, "warned": False})
        self.factors, self._filled = [*nothing], sizes[0][1]

    def forward(self, z: Tensor | Sequence[Tensor], c: Tensor, y: Tensor | None = None) -> Tensor:
        """Bring the critic, if any, up to date (training mode), then estimate.

        Parameters
        ----------
        z : Tensor, or a sequence of Tensors as in ``dim``
        c : Tensor of shape (n,) or (n, attribute.width)
        y : Tensor of shape (n,) or (n, width)
            Needed for ``criterion="separation"``: integer labels, or what ``condition_on`` says.

        Returns
        -------
        Tensor
            Scalar in nats, >= 0, differentiable in z; the sum over representations, whose single estimates
            stand in ``self.estimates``. Under a budget each is multiplied by its weight.

        Raises
        ------
        InputError
            Wrong shapes, dtypes or labels, or NaN in z; on every rank, when one of them refuses what it was given.
        """
        with announce_refusal(self._ranks(), 3):
            batch = self._reader.read(z, c, y)
            values = [summary.values for summary in self._summarize(batch.representations)]
        with disable_autocast(values[0].device):
            terms = self._estimate_all(replace(batch, representations=values))
        if self.budgets:
            terms = [m * term for m, term in zip(self.weigh_budgets(), terms, strict=True)]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()

    def backward(
        self, task_loss: Tensor, z: Tensor | Sequence[Tensor], c: Tensor, y: Tensor | None = None, *,
        scale: float | Tensor = 1.0,
    ) -> Tensor:  # fmt: skip
        """Backpropagate task and penalty with one pass through the encoder.

        Where the gradient of ``task_loss`` arrives at z on its way to the encoder, the gradient of the
        estimate joins it, ``gradient_ratio`` times as long (see `GradientBalance`). ``optimizer.step()`` comes next.

        Parameters
        ----------
        task_loss : scalar Tensor
        z : Tensor, or a sequence of Tensors as in ``dim``
        c : Tensor of shape (n,) or (n, attribute.width)
        y : Tensor of shape (n,) or (n, width)
        scale : float or Tensor, default 1.0
            Of a GradScaler, in ``task_loss`` already; the penalty's gradient is multiplied by it, too.

        Returns
        -------
        Tensor
            The estimate in nats, detached; the sum over representations.

        Raises
        ------
        InputError
            As in `forward`; also when z needs no gradient, or ``task_loss`` does not depend on it.
        """
        ranks = self._ranks()
        with announce_refusal(ranks, 3):
            batch = self._reader.read(z, c, y)
            check_task_loss(task_loss, batch.representations)
            summaries = self._summarize([h.detach() for h in batch.representations])
        leaves = [summary.values.detach().requires_grad_() for summary in summaries]
        with torch.enable_grad(), disable_autocast(leaves[0].device):
            total = torch.stack(self._estimate_all(replace(batch, representations=leaves))).sum()
            gradients = torch.autograd.grad(total, leaves)
        joined = batch.representations, summaries, gradients, self.balances, self.weigh_budgets()
        self.factors = [*join_gradients(task_loss, *joined, ranks, scale)]
        return total.detach()

    @property
    def traffic(self) -> Traffic:
        """What was communicated for estimates so far; by all penalties together, where they share the group."""
        ranks = find_ranks(self.process_group)
        return Traffic() if ranks is None else ranks.traffic

    def _ranks(self) -> Ranks | None:  # whose rows are pooled
        return find_ranks(self.process_group) if self.training else None

    def _summarize(self, representations: Sequence[Tensor]) -> list[Summary]:
        follow(self, self.critics.optimizer, representations[0].device)
        return summarize(representations, self.shapes, self._reader.names)

    def _estimate_all(self, batch: Batch) -> list[Tensor]:
        """One for each representation; together, where their estimator does that and nothing keeps them apart."""
        ranks = self._ranks()
        batch = self._reader.drop_missing(batch, exact=ranks is not None)
        if ranks is not None:
            batch = gather_batch(ranks, batch, attribute=self.attribute, banks=self.banks, summable=self._summable)
        passes: list[Tensor] = []  # filled once the estimates are there
        gated = [gate_gradient(h, passes, k) for k, h in enumerate(batch.representations)]
        batch = replace(batch, representations=gated)
        joint: Sequence[Estimate | None] = [None] * len(self.shapes)
        if self._joined and batch.n >= self._filled and len({h.dtype for h in batch.representations}) == 1:
            ask, own = cast(Any, self.estimators[0]).estimate_several, expand_groups(batch.values, batch.groups)
            # Where too few are known to be so at once, each is asked, and says so itself.
            with contextlib.suppress(TooFewSamples), collect_refusals(TooFewSamples) as short:
                joint = [*zip(ask(batch.representations, *own, pool=batch.pool), *short, strict=True)]
        found = [self._estimate(k, batch, term) for k, term in enumerate(joint)]
        passes.append(usable := self._judge(found, gated[0].device, batch.missing))
        terms = [h.sum() * 0.0 if isinstance(each, str) else each[0] for each, h in zip(found, gated, strict=True)]
        return [torch.where(usable[k], term, 0.0) for k, term in enumerate(terms)]

    def _estimate(self, k: int, batch: Batch, known: Estimate | None) -> Estimate | Reason:
        """The estimate of representation ``k``, and whether samples are too few for it; or why there is none."""
        estimator, bank = cast(Any, self.estimators[k]), cast(PairBank, self.banks[k])
        h, c, groups, pool = batch.representations[k], batch.c, batch.groups, batch.pool
        bank.limits = batch.limits
        if batch.n < (1 if estimator.closed_form else 2):
            return "too_few"
        try:
            if self.training:
                self.critics.train_critic(k, bank, h, c, groups)
            if not self.critics.is_ready(k):
                return "untrained"
            if known is not None:
                return known
            pairs = precondition(h, groups, self.preconditioning[k]), batch.values.to(h.dtype), groups
            z, encoded, own = bank.fill_up(*pairs) if estimator.closed_form and pool is None else pairs
            options = ({} if pool is None else {"pool": pool}) | ({"fresh": len(h)} if estimator.remembers else {})
            with collect_refusals(TooFewSamples) as short:
                term = estimator(z, *expand_groups(encoded, own), **options)
            return term, torch.cat(short).any() if short else torch.zeros_like(term, dtype=torch.bool)
        except TooFewSamples:
            return "too_few"
        finally:
            if self.training:
                bank.push(h, c, groups, scattered=pool is not None)
