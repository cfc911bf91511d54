"""Nonlinear erasure: after the linear map, groups are carried to their barycentre, as far as held-out rows ask for."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import TooFewSamples
from .grouping import Grouping
from .judging import Judge
from .linear import LinearErasure, LinearFit, compute_linear_erasure
from .moments import Floats
from .reading import GroupReader, train_reader
from .transport import GroupTransport, compute_transport

NO_LEAKAGE = 0.01  # nats of held-out rows that are no reason to move any
_LEAST_ROWS = 100
_ROUNDS = 3  # of transport for each attribute
_FRACTIONS = (0.25, 0.5, 0.75)
_LEAST_GAIN = 0.003  # nats
_ROWS_AT_ONCE = 2048
_ROWS_FITTED, _ROWS_HELD = 2000, 2000


class GroupErasure(nn.Module):
    """The reader of an attribute's groups, and the transports that move rows by what it reads."""

    reader: GroupReader

    def __init__(self, reader: GroupReader, transports: Sequence[GroupTransport]) -> None:
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
    """

    offset: Tensor
    correction: Tensor

    def __init__(self, linear: LinearErasure, stages: Sequence[GroupErasure]) -> None:
        super().__init__()
        self.linear, self.stages = linear, nn.ModuleList(stages)
        k, p = sum(len(stage.reader.calibration) for stage in stages), len(linear.mean)
        self.offset, self.correction = nn.Buffer(torch.zeros(p)), nn.Buffer(torch.zeros(k, p))
        self.last: nn.Module = nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """z (n, p), erased."""
        x, weights = self.move(z)
        erased: Tensor = self.last(x + (self.offset + weights @ self.correction).to(z.dtype))
        return erased

    def move(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, p) before the correction, and all groups' weights (n, k)."""
        x, found = self.linear(z), []
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


@dataclass(frozen=True, kw_only=True)
class NonlinearFit:
    """How far a nonlinear map goes.

    Parameters
    ----------
    max_mi : float, optional
        Nats that held-out rows may leak; without, as few as ``min_neighbours`` allows, down to `NO_LEAKAGE`.
    min_neighbours : float
        Share of the ten nearest after the linear map that held-out rows are to keep.
    seed : int
    """

    max_mi: float | None
    min_neighbours: float
    seed: int

    def fit(
        self, z: NDArray[np.floating], linear: LinearErasure, groupings: Sequence[Grouping], weights: Floats,
        blocks: NDArray[np.intp], gather: Callable[[Callable[[Tensor], Tensor]], LinearFit],
    ) -> tuple[nn.Module, list[dict[str, Any]]]:  # fmt: skip
        """Fit what follows ``linear``, and return it all, with a record for each map that was judged.

        ``blocks`` (n,) says which rows stay together; ``gather`` has the moments of what a map makes of z.
        """
        history: list[dict[str, Any]] = []
        stages: list[GroupErasure] = []
        generator = np.random.default_rng(self.seed)
        x = erased = _apply(linear, z)
        for grouping in groupings:
            stage = self._fit_grouping(z, erased, x, grouping, weights, blocks, generator, history)
            if stage is not None:
                stages.append(stage)
                x = _move(stage, z, x)
        if not stages:
            return linear, history
        erasure = NonlinearErasure(linear, stages)
        erasure.correct(gather(lambda part: torch.cat(erasure.move(part), dim=1)))
        return erasure, history

    def _fit_grouping(
        self, z: NDArray[np.floating], erased: NDArray[np.floating], x: NDArray[np.floating], grouping: Grouping,
        weights: Floats, blocks: NDArray[np.intp], generator: np.random.Generator, history: list[dict[str, Any]],
    ) -> GroupErasure | None:  # fmt: skip
        """Fit to rows z, linearly erased, which earlier maps brought to x; None where these leak little enough."""
        codes, k = grouping.codes, len(grouping.strata)
        learn, held = _hold_out(np.flatnonzero((codes >= 0) & (weights > 0)), blocks, generator)
        if min(len(learn), len(held)) < _LEAST_ROWS // 5 or len(np.unique(codes[learn])) < 2:
            raise TooFewSamples(
                f"method='nonlinear' needs at least {_LEAST_ROWS} rows with {grouping.name!r}, in several groups, and "
                f"has {len(learn) + len(held)}: use method='linear'"
            )
        fitted, read = learn[:_ROWS_FITTED], held[:_ROWS_HELD]
        judge = Judge(codes[np.concatenate([fitted, read])], len(fitted), grouping.strata)
        judged = np.concatenate([fitted, read])
        before = torch.from_numpy(erased[judged])
        target = NO_LEAKAGE if self.max_mi is None else self.max_mi
        moved = torch.from_numpy(x[judged])
        leakage = judge.measure_leakage(moved)

        def record(step: float, leakage: float, after: Tensor, chosen: bool = False) -> None:
            found = {"leakage": leakage, "neighbours": judge.count_neighbours(before, after), "chosen": chosen}
            history.append({"attribute": grouping.name, "step": step, **found})

        record(0.0, leakage, moved, True)
        if leakage <= target:
            return None
        reader = train_reader(z, codes, k, weights, learn, held, int(generator.integers(2**31)))
        weigh, transports = reader(torch.from_numpy(z[judged])), list[GroupTransport]()
        known, every = np.full(len(codes), -1), np.where(weights > 0, codes, -1)
        known[learn] = codes[learn]
        for _ in range(_ROUNDS):
            found = []
            for shrinkage in (True, False):
                transport = compute_transport(x, known, grouping.strata, weights, shrinkage=shrinkage)
                direction = transport(moved, weigh) - moved
                farthest = self._find_farthest(judge, before, moved, direction)
                found.append((judge.measure_leakage(moved + farthest * direction), farthest, direction, shrinkage))
            # What was shrunk moves rows less.
            end, farthest, direction, shrinkage = found[found[0][0] > found[1][0] + _LEAST_GAIN]
            path = [(judge.measure_leakage(moved + f * farthest * direction), f * farthest) for f in _FRACTIONS]
            path.append((end, farthest))
            least = min(path)[0]
            best = next(pair for pair in path if pair[0] <= max(target, least + _LEAST_GAIN))
            helps = least <= leakage - max(_LEAST_GAIN, 0.05 * leakage)
            for value, step in path:
                record(step, value, moved + step * direction, helps and (value, step) == best)
            if not helps:
                break
            leakage, step = best
            transport = compute_transport(x, every, grouping.strata, weights, shrinkage=shrinkage)  # of all rows
            transport.step = torch.tensor(step)
            transports.append(transport)
            if leakage <= target or farthest < 1:
                break
            x, moved = _move(GroupErasure(reader, [transport]), z, x), moved + step * direction
        if self.max_mi is not None and leakage > self.max_mi:
            warnings.warn(
                f"max_mi={self.max_mi} is not met: held-out rows still leak {leakage:.3f} nats of {grouping.name!r}",
                UserWarning, stacklevel=4,
            )  # fmt: skip
        return GroupErasure(reader, transports) if transports else None

    def _find_farthest(self, judge: Judge, before: Tensor, moved: Tensor, direction: Tensor) -> float:
        """The longest step after which held-out rows keep enough neighbours, by bisection."""
        low, high = 0.0, 1.0
        if self.max_mi is not None or judge.count_neighbours(before, moved + high * direction) >= self.min_neighbours:
            return high
        for _ in range(6):
            middle = (low + high) / 2
            enough = judge.count_neighbours(before, moved + middle * direction) >= self.min_neighbours
            low, high = (middle, high) if enough else (low, middle)
        return low


@torch.no_grad()
def _apply(module: nn.Module, z: NDArray[np.floating]) -> NDArray[np.floating]:
    parts = torch.from_numpy(z).split(_ROWS_AT_ONCE)
    return torch.cat([module(part) for part in parts]).numpy()


@torch.no_grad()
def _move(stage: GroupErasure, z: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.floating]:
    parts = zip(*(torch.from_numpy(rows).split(_ROWS_AT_ONCE) for rows in (z, x)), strict=True)
    return torch.cat([stage(now, stage.reader(before)) for before, now in parts]).numpy()


def _hold_out(
    rows: NDArray[np.intp], blocks: NDArray[np.intp], generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A fifth of the rows aside, whole blocks of them, both parts in random order."""
    names = generator.permutation(np.unique(blocks[rows]))
    aside = np.isin(blocks[rows], names[: max(1, len(names) // 5)])
    rows, aside = (lambda order: (rows[order], aside[order]))(generator.permutation(len(rows)))
    return rows[~aside], rows[aside]
