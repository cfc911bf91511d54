"""Mutual information as predictors read it that learned from earlier pairs and from the other half of these."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..arguments import check_conditions, check_encoded, check_representation, checked
from ..deferred_reads import collect_refusals
from ..errors import InputError, TooFewSamples
from ..marginals import center_within
from ..whitening import compute_whitening
from .gaussian_features import append_products, project_columns, sign_groups
from .interface import Bound, DrawingEstimator
from .kernel_predictors import KernelPredictors
from .linear_predictors import LinearPredictors
from .log_determinant import compute_gaussian_information
from .nonlinear_predictors import NonlinearPredictors
from .stacking import Stacking

_LEAST_ROWS = 8
_MOST_SLOPES = 2**21  # of groups: those of many would cost more than they tell
_PAIRS_PER_COVARIANCE = 8
_TOLERANCE = 0.01  # nats, up to which the present pairs are followed where nothing has been told of new rows
_RIDGE_OF_PAIRS = 1e-2
_ROUNDING = 1e-12  # of z's mean square: less variance than that is none
_SMOOTHING_OF_PAIRS = 0.1
_HIGHEST = 0.98  # squared correlation that is told at most: the logarithm has a pole at 1


class PrequentialMI(DrawingEstimator):
    r"""Information that predictors of c find in rows they have not learned from.

    A predictor that is judged on the rows it learned from finds dependence in anything that is wide enough. Here
    several predict c (less its mean within each group) from z: linear ones, ridge regressions of the latest ``memory``
    rows and of the other half of these; and nonlinear ones, which find products of columns, directions of unequal
    variance, length, waves of single columns, and smooth functions of all (`LinearPredictors`, `NonlinearPredictors`,
    `KernelPredictors`). They are combined by what each has lately told of rows new to it (`Stacking`), and the value is
    :math:`-\tfrac12\sum_k \log(1-\rho_k^2)` over the correlations :math:`\rho_k` of the combination with c's white
    columns, less the expected :math:`\rho_k^2` of independent ones. With categories it is at most H(C|G).

    What is remembered is shorter than a pass over the training set should be: keep ``memory`` below half of its rows.

    The gradient is not the value's. The value hardly changes when an informative direction of z is made small, as every
    other noise becomes small with it; that moves z, and erases nothing. So the gradient is that of the covariances of
    predictions and c alone: it moves the means of z given c together, it vanishes with them, and it is bounded in units
    of z's scale. Its length is chosen such that one nat is one nat.

    What is remembered lags behind an encoder that changes fast, and does not see the last hundredths of a nat. So the
    gradient of a closed form of the present pairs is added: on the predictions, and on z, or as many of its principal
    columns as so few pairs bear, with a random sign for each group beside. As a closed form finds something in any
    pairs, this gradient counts only as far as what has been told of new rows, and a hundredth of a nat.

    Parameters
    ----------
    dim, attribute_dim : int
    sizes : sequence of int, optional
        Categories of each one-hot block of c, where c is nothing else.
    attribute_degree : {1, 2}, default 1
        2 adds squares and products of the columns of c.
    memory : float, default 4096
        Rows that predictors remember, > 0.
    n_groups : int, default 0
        Labels, of those that come first, for each of which c is predicted on its own, too; fewer where z and c are so
        wide that slopes would be more than 2 million.
    nonlinear : bool, default True
        False leaves the nonlinear predictors out.
    ridge : float, default 1e-5
        Noise, in units of the mean variance of z's columns, that counts as part of z.
    smoothing : float, default 1.0
        As ``ridge``, for the length of the gradient.
    seed : int, default 0
        Seeds the local generator of halves, signs and projections.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Dawid, "Present position and potential developments: some personal views: statistical theory: the prequential
    approach", JRSS A 1984, for judging a predictor on what it has not seen. Belrose, Schneider-Joseph, Ravfogel,
    Cotterell, Raff, Biderman, "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023: no linear predictor
    finds c exactly when the means of z given c are equal. Cover and Thomas, 2006, eq. 8.56, for the logarithm.

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randint(2, (512, 1), generator=generator).float()
    >>> z = torch.randn(512, 64, generator=generator)
    >>> wide, estimator = z.clone(), PrequentialMI(64, 1)
    >>> bool(estimator(wide, c).abs() < 0.02)
    True
    """

    bound: Bound = "exact"
    assumption = "predictions and c are jointly normal, and the predictors tell all"
    closed_form = True
    takes_covariates = True
    remembers = True
    preconditioning = 1 / 3
    contrasts: Tensor
    levels: Tensor

    @checked
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        sizes: Sequence[int] | None = None,
        attribute_degree: int = 1,
        memory: float = 4096.0,
        n_groups: int = 0,
        nonlinear: bool = True,
        ridge: float = 1e-5,
        smoothing: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        if min(dim, attribute_dim) < 1 or not 0 < memory < math.inf or n_groups < 0:
            raise InputError(
                f"dim and attribute_dim must be at least 1, memory > 0 and n_groups >= 0, got {dim}, {attribute_dim}, "
                f"{memory} and {n_groups}"
            )
        if attribute_degree not in (1, 2):
            raise InputError(f"attribute_degree must be 1 or 2, got {attribute_degree!r}")
        if not 0 <= ridge < math.inf or not 0 <= smoothing < math.inf:
            raise InputError(f"ridge and smoothing must be >= 0, got {ridge} and {smoothing}")
        if sizes is not None and sum(sizes) != attribute_dim:
            raise InputError(f"sizes must sum to attribute_dim {attribute_dim}, got {[*sizes]}")
        self.dim, self.attribute_dim, self.sizes = dim, attribute_dim, None if sizes is None else tuple(sizes)
        self.attribute_degree, self.smoothing, self.ridge = attribute_degree, smoothing, ridge
        columns = attribute_dim if attribute_degree == 1 else attribute_dim * (attribute_dim + 3) // 2
        self.register_buffer("contrasts", torch.eye(columns) if sizes is None else build_contrasts(sizes))
        width = self.contrasts.shape[1]
        n_groups = min(n_groups, _MOST_SLOPES // (dim * width))
        self.linear = LinearPredictors(dim, width, memory=memory, n_groups=n_groups, ridge=ridge)
        self.nonlinear = NonlinearPredictors(dim, width, memory=memory, seed=seed) if nonlinear else None
        self.kernel = KernelPredictors(dim, width, memory=memory / 2, seed=seed) if nonlinear else None
        names = [name for part in (self.linear, self.nonlinear, self.kernel) if part is not None for name in part.names]
        self.stacking = Stacking(names, memory=memory / 4)
        self._memory_of_levels = memory / 4
        # Over the latest calls: what was told of new rows, and what the closed form of the present pairs finds.
        self.register_buffer("levels", torch.zeros(2))

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None, *, fresh: int | None = None) -> Tensor:
        """Estimate in nats; in training mode, then learn from these pairs.

        The value is at or below zero where no predictor has told anything of new rows.

        Parameters
        ----------
        fresh : int, optional
            So many pairs, which come first, are new. The others were given before: means within groups and the closed
            form are theirs, too, but the value is not, and they are not learned again.

        Raises
        ------
        InputError
            Wrong shapes or dtypes, or NaN in z.
        TooFewSamples
            With fewer than 8 new rows.
        """
        check_representation(z, dim=self.dim)
        check_conditions(groups, len(z))
        check_encoded(c, len(z), self.attribute_dim)
        if (len(z) if fresh is None else fresh) < _LEAST_ROWS:
            raise TooFewSamples(f"z: {len(z[:fresh])} samples are too few to judge predictors on")
        wide = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
        # On a GPU it is refused a call later; until then it must not get into memory.
        wide = torch.where(wide.isfinite(), wide, 0.0)
        target = center_within(self._expand(c.to(wide.dtype)), groups)[0]
        centred = center_within(wide, groups)[0]
        # One scale for all columns, with its gradient: else making all of z small would look like erasing.
        power = centred.square().mean()
        varies = power > _ROUNDING * wide.detach().square().mean()
        scaled = torch.where(varies, centred / power.clamp(min=1e-24).sqrt(), 0.0)
        halves = torch.randperm(len(z), generator=self._generator).to(z.device, non_blocking=True).tensor_split(2)

        labels = self.linear.number(groups, len(z), learn=self.training)
        predictions = self.linear.predict(scaled, target, labels, halves)
        if self.nonlinear is not None:
            predictions |= self.nonlinear.predict(scaled, learn=self.training)
        if self.kernel is not None:
            predictions |= self.kernel.predict(scaled, target, halves)
        value = self._read(scaled, predictions, target, c, groups, fresh)
        if self.training:
            new, target, labels = scaled.detach()[:fresh], target[:fresh], labels[:fresh]
            with torch.no_grad():
                self.linear.learn(new, target, labels)
                if self.nonlinear is not None:
                    self.nonlinear.learn(new, target)
                if self.kernel is not None:
                    self.kernel.learn(new, target)
        return torch.where(varies, value, 0.0).to(z.dtype)

    def _expand(self, c: Tensor) -> Tensor:
        c = append_products(c) if self.attribute_degree == 2 else c
        return c @ self.contrasts.to(c)

    def _find_whitening(self, target: Tensor) -> Tensor:
        covariance = self.linear.pool_covariance(target)
        scale = covariance.diagonal().sqrt().clamp(min=1e-12)
        return (compute_whitening(covariance / scale / scale[:, None], tolerance=1e-5) / scale[:, None]).to(target)

    def _read(
        self,
        z: Tensor,
        predictions: dict[str, Tensor],
        target: Tensor,
        c: Tensor,
        groups: Tensor | None,
        fresh: int | None,
    ) -> Tensor:
        names, whitening = list(predictions), self._find_whitening(target)
        white = target @ whitening
        stacked = torch.stack([predictions[name] for name in names]) @ whitening
        shares = self.stacking.combine(names, stacked.detach()[:, :fresh], white[:fresh], learn=self.training)
        total = torch.einsum("f,fnq->nq", shares, stacked)
        new = total[:fresh]
        n, constant = len(new), new.detach()
        of_linear = {name: share for name, share in zip(names, shares, strict=True) if name in self.linear.names}
        slopes = self.linear.combine_slopes(of_linear) @ whitening
        variance, steepness = constant.square().mean(0), slopes.square().sum(0)
        scale = (variance + self.ridge * steepness).sqrt()
        covariance = (new * white[:fresh]).mean(0)
        moved = scale > 1e-9 * scale.max().clamp(min=1e-30)
        correlation = torch.where(moved, covariance / scale.clamp(min=1e-30), 0.0)
        squares = correlation.detach().square().clamp(max=_HIGHEST)
        told = (-0.5 * (-squares).log1p()).sum() - 0.5 * moved.sum() / n
        if self.sizes is not None:
            labels = None if groups is None or groups.is_floating_point() else groups
            told = told.clamp(max=_measure_entropy(c, self.sizes, labels))
        damped = (covariance / (variance + self.smoothing * steepness).sqrt().clamp(min=1e-30)).square()
        # The gradient of new rows stands for the others, too; here it is theirs alone.
        descended = n / len(total) * damped.sum() * (told.clamp(min=0) / squares.sum().clamp(min=1e-12))
        damping = (variance + _SMOOTHING_OF_PAIRS * steepness).sqrt().clamp(min=1e-30)
        descended = descended + self._measure_pairs(z, total / damping, white, groups, told)
        return told + (descended - descended.detach())

    def _measure_pairs(self, z: Tensor, columns: Tensor, white: Tensor, groups: Tensor | None, told: Tensor) -> Tensor:
        """The closed form of these pairs, as far as what has been told of new rows of late, and a tolerance."""
        n, width = white.shape
        principal = self.linear.project(z, max(1, n // (_PAIRS_PER_COVARIANCE * width)))
        variance = principal.detach().square().mean(0)
        principal = torch.where(variance > 1e-12, principal / variance.clamp(min=1e-12).sqrt(), 0.0)
        white = sign_groups(white, groups, self._generator)
        white, columns = (project_columns(v, self._generator, most=v.shape[1]) for v in (white, columns))
        columns = torch.cat([columns, principal], dim=1)
        with collect_refusals(TooFewSamples):  # a zero, with a zero gradient, from pairs that are too few
            nats = compute_gaussian_information(columns, white, groups, ridge=_RIDGE_OF_PAIRS)
        with torch.no_grad():
            # What it finds in independent pairs, of which its gradient makes as much; signs of groups do not count.
            by_chance = columns.shape[1] * width / (2 * n)
            present = torch.stack([told.clamp(min=0), nats + by_chance]).to(self.levels)
            kept = math.exp(-n / self._memory_of_levels)
            levels = torch.where(self.levels[1] == 0, present, kept * self.levels + (1 - kept) * present)
            if self.training:
                self.levels.copy_(levels)
            share = ((levels[0] + _TOLERANCE) / levels[1].clamp(min=1e-9)).clamp(max=1.0)
        return nats * share.to(nats)


def build_contrasts(sizes: Sequence[int]) -> Tensor:
    """Orthonormal contrasts (sum of sizes, columns) of one-hot blocks: each block's columns sum to one."""
    blocks = []
    for size in sizes:
        lower = torch.tril(torch.ones(size, size, dtype=torch.float64))[:, :-1]
        basis = torch.eye(size, dtype=torch.float64)[:, :-1] - lower / size
        blocks.append(torch.linalg.qr(basis).Q)
    return torch.block_diag(*blocks).float()


def _measure_entropy(c: Tensor, sizes: Sequence[int], groups: Tensor | None) -> float:
    """Sum over blocks of H(C|G) in these rows, in nats."""
    total = 0.0
    for block in c.split(list(sizes), dim=1):
        cells = block.argmax(dim=1)
        if groups is not None:
            cells = cells + block.shape[1] * torch.unique(groups, return_inverse=True)[1]
            shares = torch.unique(groups, return_counts=True)[1].double() / len(c)
            total += float((shares * shares.log()).sum())
        shares = torch.unique(cells, return_counts=True)[1].double() / len(c)
        total -= float((shares * shares.log()).sum())
    return total
