"""Nonlinear erasure: after the linear map, groups are carried to their barycentre, as far as held-out rows ask for."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import TooFewSamples
from .covariates import JudgeGivenCovariates, expand_rows, take_off
from .grouping import Grouping
from .inputs import FitRows
from .judging import Judge
from .line_search import LineSearch, Transport
from .linear import LinearErasure, LinearFit, compute_linear_erasure
from .reading import GroupReader, train_reader
from .residual import ResidualTransport, train_residual
from .transport import GroupTransport, compute_transport

_LEAST_ROWS = 100
_USUAL = 0.998  # of the rows: a column of which as many have one value counts as constant
_ROUNDS = 3  # of transport for each attribute
_ROWS_AT_ONCE = 2048
_ROWS_FITTED, _ROWS_HELD = 2000, 2000


class GroupErasure(nn.Module):
    """The reader of an attribute's groups, and the transports that move rows by what it reads."""

    reader: GroupReader

    def __init__(self, reader: GroupReader, transports: Sequence[Transport]) -> None:
        super().__init__()
        self.reader, self.transports = reader, nn.ModuleList(transports)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x (n, p), moved by the weights (n, k) of the groups."""
        for transport in self.transports:
            x = transport(x, weights)
        return x


class NonlinearErasure(nn.Module):
    """One attribute's groups are carried to their barycentre after the other's; then all is made uncorrelated again.

    Parameters
    ----------
    linear : LinearErasure
    stages : sequence of GroupErasure
        All of them read z as it was: the linear map hides groups from them.

    Notes
    -----
    What the groups' transports take from the covariance with what is kept is given back by ``kept``, a linear map of
    what follows ``linear``, which has all of it.
    """

    offset: Tensor
    correction: Tensor
    constant: Tensor  # (p,): columns that stay, since what a map adds to their one value would be read

    def __init__(self, linear: LinearErasure, stages: Sequence[GroupErasure]) -> None:
        super().__init__()
        self.linear, self.stages = linear, nn.ModuleList(stages)
        k, p = sum(len(stage.reader.calibration) for stage in stages), len(linear.mean)
        self.offset, self.correction = nn.Buffer(torch.zeros(p)), nn.Buffer(torch.zeros(k, p))
        self.last: nn.Module = nn.Identity()
        self.kept: nn.Module = nn.Identity()  # what it moves is added
        self.constant = nn.Buffer(torch.zeros(p, dtype=torch.bool))

    def forward(self, z: Tensor) -> Tensor:
        """z (n, p), erased."""
        before = self.linear(z)
        x, weights = self.move(z, before)
        erased: Tensor = self.last(x + (self.offset + weights @ self.correction).to(z.dtype))
        return torch.where(self.constant, z, erased + (self.kept(before) - before))

    def move(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, p), x after the linear map, before the correction, and all groups' weights (n, k)."""
        found = []
        for stage in self.stages:
            assert isinstance(stage, GroupErasure)
            found.append(stage.reader(z))
            x = stage(x, found[-1])
        return x, torch.cat(found, dim=1)

    def correct(self, fit: LinearFit) -> None:
        """Make the result uncorrelated with what is erased, by moving groups' means or by a linear map.

        ``fit`` has the moments of z moved, with the weights beside it. Whichever moves rows less is taken: where groups
        are well told apart, moving their means does.
        """
        p = len(self.offset)
        moments, (erased, _) = fit.moments, fit.compute_covariances()
        change = -np.linalg.pinv(erased[p:].T, rcond=1e-3) @ erased[:p].T
        left = np.abs(erased[:p].T + erased[p:].T @ change).max()
        linear = compute_linear_erasure(moments.mean[:p], moments.covariance[:p, :p], erased[:p], rows=moments.rows)
        reads, writes = linear.reads.numpy(), linear.writes.numpy()
        movement = np.trace(writes.T @ reads.T @ moments.covariance[:p, :p] @ reads @ writes)
        if left <= 1e-6 * np.abs(erased[:p]).max() and (
            np.trace(change.T @ moments.covariance[p:, p:] @ change) <= movement
        ):
            self.correction = torch.from_numpy(change).float()
            self.offset = torch.from_numpy(-moments.mean[p:] @ change).float()
        else:
            self.last = linear

    def restore(self, fit: LinearFit) -> None:
        """Give back the covariance with what is kept; ``fit`` has the moments of the result, and beside it of x."""
        p = len(self.offset)
        moments, (erased, kept) = fit.moments, fit.compute_covariances()
        assert kept is not None
        covariance, had = moments.covariance[p:, p:], kept[p:]
        # What reads all that x tells linearly of what is kept, and nothing of what is erased, writes what is lacking.
        read = compute_linear_erasure(moments.mean[p:], covariance, had, erased[p:], rows=moments.rows)
        read.writes = torch.from_numpy(-((had - kept[:p]) @ np.linalg.pinv(read.reads.numpy().T @ had)).T.copy())
        self.kept = read


@dataclass(frozen=True, kw_only=True)
class NonlinearFit:
    """How far a nonlinear map goes.

    Parameters
    ----------
    max_mi : float, optional
        Nats that held-out rows may leak.
    min_neighbours : float, optional
        Share of the ten nearest after the linear map that held-out rows are to keep, without ``max_mi``.
    seed : int
    """

    max_mi: float | None
    min_neighbours: float | None
    seed: int

    def fit(
        self, given: FitRows, linear: LinearErasure, groupings: Sequence[Grouping], blocks: NDArray[np.intp],
        gather: Callable[[Callable[[Tensor], Tensor]], LinearFit],
    ) -> tuple[nn.Module, list[dict[str, Any]]]:  # fmt: skip
        """Fit what follows ``linear``, and return it all, with a record for each map that was judged.

        ``blocks`` (n,) says which rows stay together; ``gather`` has the moments of what a map makes of z.
        """
        z, weights = given.z, given.weights
        history: list[dict[str, Any]] = []
        stages: list[GroupErasure] = []
        searches = list[tuple[LineSearch, NDArray[np.intp]]]()
        generator = np.random.default_rng(self.seed)
        x = erased = _apply(linear, z)
        for grouping in groupings:
            codes = grouping.codes
            learn, held = _hold_out(np.flatnonzero((codes >= 0) & (weights > 0)), blocks, generator)
            if min(len(learn), len(held)) < _LEAST_ROWS // 5 or len(np.unique(codes[learn])) < 2:
                raise TooFewSamples(
                    f"method='nonlinear' needs at least {_LEAST_ROWS} rows with {grouping.name!r}, in several groups, "
                    f"and has {len(learn) + len(held)}: use method='linear'"
                )
            judged = np.concatenate([learn[:_ROWS_FITTED], held[:_ROWS_HELD]])
            judge = Judge(codes[judged], min(len(learn), _ROWS_FITTED), grouping.strata)
            if given.covariates is not None:
                w = given.covariates[torch.from_numpy(judged)]
                judge = JudgeGivenCovariates(judge.codes, judge.m, judge.strata, w)
            before, now = torch.from_numpy(erased[judged]), torch.from_numpy(x[judged])
            search = LineSearch(judge, before, now, self.max_mi, self.min_neighbours, grouping.name)
            if search.leakage > search.target:
                reader = train_reader(z, codes, len(grouping.strata), weights, learn, held, _draw(generator))
                told = torch.cat([reader(part) for part in torch.from_numpy(z).split(_ROWS_AT_ONCE)])
                transports = self._find_transports(search, x, told, grouping, given, learn, judged, generator)
                if transports:
                    stages.append(GroupErasure(reader, transports))
                    x = _move(transports, x, told)
            searches.append((search, judged))
        erasure = self._correct(linear, stages, searches, given, gather) if stages else linear
        for search, _ in searches:
            history += search.history
            if self.max_mi is not None and search.leakage > self.max_mi:
                warnings.warn(
                    f"max_mi={self.max_mi} is not met: held-out rows still leak {search.leakage:.3f} nats of "
                    f"{search.name!r}", UserWarning, stacklevel=4,
                )  # fmt: skip
        return erasure, history

    def _correct(
        self, linear: LinearErasure, stages: Sequence[GroupErasure],
        searches: Sequence[tuple[LineSearch, NDArray[np.intp]]], given: FitRows,
        gather: Callable[[Callable[[Tensor], Tensor]], LinearFit],
    ) -> nn.Module:  # fmt: skip
        """Make the covariances of what ``stages`` do those that they are to be, and judge what was kept."""
        z, weights = given.z, given.weights
        erasure = NonlinearErasure(linear, stages)
        usual = np.median(fitted := z[weights > 0], axis=0)
        erasure.constant = torch.from_numpy(np.mean(fitted == usual, axis=0) >= _USUAL)
        erasure.correct(gather(lambda part: torch.cat(erasure.move(part, linear(part)), dim=1)))
        if given.kept:
            erasure.restore(gather(lambda part: torch.cat([erasure(part), linear(part)], dim=1)))
            for search, judged in searches:
                search.conclude(torch.from_numpy(_apply(erasure, z[judged])))
        return erasure

    def _find_transports(
        self, search: LineSearch, x: NDArray[np.floating], told: Tensor, grouping: Grouping, given: FitRows,
        learn: NDArray[np.intp], judged: NDArray[np.intp], generator: np.random.Generator,
    ) -> list[Transport]:  # fmt: skip
        """Fit to rows x (n, p), of which a reader tells the weights of the groups (n, k)."""
        weights = given.weights
        functions = None if given.covariates is None else expand_rows(given.covariates[torch.from_numpy(learn)])
        known, every = np.full(len(x), -1), np.where(weights > 0, grouping.codes, -1)
        known[learn] = grouping.codes[learn]
        transports = list[Transport]()

        def transport(groups: NDArray[np.intp], shrinkage: bool) -> GroupTransport:
            left = take_off(x, given.covariates, groups)  # groups differ by what covariates tell, which is to stay
            return compute_transport(left, groups, grouping.strata, weights, shrinkage=shrinkage)

        def train() -> ResidualTransport:
            codes = grouping.codes[learn]
            return train_residual(
                x[learn], told[learn], codes, grouping.strata, weights[learn], _draw(generator), functions
            )

        for _ in range(_ROUNDS):
            # What is shrunk moves rows less; a residual map takes longest.
            candidates: list[Callable[[], Transport]] = [
                partial(transport, known, True),
                partial(transport, known, False),
                train,
            ]
            which, found, step = search.walk(candidates, told[judged])
            if step == 0:
                break
            transports.append(found if which == 2 else transport(every, which == 0))  # of all rows
            transports[-1].step = torch.tensor(step)
            if which == 2 or search.leakage <= search.target or (step < 1 and not search.is_limited):
                break
            x = _move(transports[-1:], x, told)
        return transports


def _draw(generator: np.random.Generator) -> int:
    return int(generator.integers(2**31))


@torch.no_grad()
def _apply(module: nn.Module, z: NDArray[np.floating]) -> NDArray[np.floating]:
    parts = torch.from_numpy(z).split(_ROWS_AT_ONCE)
    return torch.cat([module(part) for part in parts]).numpy()


@torch.no_grad()
def _move(transports: Sequence[Transport], x: NDArray[np.floating], told: Tensor) -> NDArray[np.floating]:
    parts = []
    for part, weights in zip(torch.from_numpy(x).split(_ROWS_AT_ONCE), told.split(_ROWS_AT_ONCE), strict=True):
        for transport in transports:
            part = transport(part, weights)
        parts.append(part)
    return torch.cat(parts).numpy()


def _hold_out(
    rows: NDArray[np.intp], blocks: NDArray[np.intp], generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A fifth of the rows aside, whole blocks of them, both parts in random order."""
    names = generator.permutation(np.unique(blocks[rows]))
    aside = np.isin(blocks[rows], names[: max(1, len(names) // 5)])
    rows, aside = (lambda order: (rows[order], aside[order]))(generator.permutation(len(rows)))
    return rows[~aside], rows[aside]
