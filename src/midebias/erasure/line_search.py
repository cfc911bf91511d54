"""The line search: how far along a map held-out rows are moved, by what they leak and the neighbours that they keep."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .judging import Judge
from .residual import ResidualTransport
from .transport import GroupTransport

Transport = GroupTransport | ResidualTransport
NO_LEAKAGE = 0.01  # nats of held-out rows that are no reason to move any
_PRICE = 0.8  # nats that all neighbours are worth, where little is told
_MUCH = 0.1  # nats, from which each counts more than three times as much: of two groups they are a probe's 0.72
_LEAST_GAIN = 0.003  # nats
_TIE = 0.005  # nats: what costs hardly more, and moves rows less, is taken


class LineSearch:
    """Moves the rows of a judge step by step, and records every map that it judged.

    Parameters
    ----------
    judge : Judge
    before, moved : Tensors of shape (n, p)
        The rows of the judge after the linear map, and where earlier maps brought them.
    max_mi, min_neighbours : float, optional
        Where either is given, a path is followed to as little leakage as there is, within it; else neighbours count.
    name : str
        Of the attribute.
    """

    def __init__(
        self, judge: Judge, before: Tensor, moved: Tensor, max_mi: float | None, min_neighbours: float | None, name: str
    ) -> None:
        self.judge, self.before, self.moved, self.name = judge, before, moved, name
        self.is_limited = max_mi is not None or min_neighbours is not None
        self.target = NO_LEAKAGE if max_mi is None else max_mi
        self.min_neighbours = min_neighbours if max_mi is None and min_neighbours is not None else 0.0
        self.leakage, self.history = judge.measure_leakage(moved), list[dict[str, Any]]()
        self._record(0.0, self.leakage, self._count(moved), chosen=True)

    def walk(self, candidates: Sequence[Callable[[], Transport]], weights: Tensor) -> tuple[int, Transport, float]:
        """Go along the candidate that costs least as far as is worth it; return its place, itself, and the step or 0.

        ``weights`` (n, k) are those of the groups. Candidates are made in their order until one reaches the target; of
        those that cost as much, the first is taken.
        """
        made, directions, paths = list[Transport](), list[Tensor](), list[dict[float, tuple[float, float]]]()
        for make in candidates:
            made.append(make())
            directions.append(made[-1](self.moved, weights) - self.moved)
            paths.append({step: self._judge(self.moved + step * directions[-1]) for step in (0.5, 1.0)})
            if paths[-1][1.0][0] <= self.target:
                break
        which = _find_least([min(self._compare(*point, _PRICE) for point in path.values()) for path in paths], _TIE)
        for step in (0.25, 0.6875):
            paths[which][step] = self._judge(self.moved + step * directions[which])
        steps = sorted(paths[which])
        path = [(self.leakage, self._count(self.moved)), *(paths[which][step] for step in steps)]
        price, tie = (0.0, 0.0) if self.is_limited else (_PRICE, _TIE)
        best = _find_least([
            self._compare(*point, price) if i == 0 or point[1] >= self.min_neighbours else math.inf
            for i, point in enumerate(path)
        ], tie)  # fmt: skip
        helps = path[best][0] <= self.leakage - max(_LEAST_GAIN, 0.05 * self.leakage)
        for i, step in enumerate(steps, 1):
            self._record(step, *path[i], chosen=helps and i == best)
        if not helps:
            return which, made[which], 0.0
        step, self.leakage = steps[best - 1], path[best][0]
        self.moved = self.moved + step * directions[which]
        return which, made[which], step

    def conclude(self, after: Tensor) -> None:
        """Record what has been made of the rows (n, p) in the end, where that is more than steps along paths."""
        self.leakage, neighbours = self._judge(after)
        self._record(1.0, self.leakage, neighbours, chosen=True)

    def _judge(self, after: Tensor) -> tuple[float, float]:
        return self.judge.measure_leakage(after), self._count(after)

    def _count(self, after: Tensor) -> float:
        return self.judge.count_neighbours(self.before, after)

    def _compare(self, leakage: float, neighbours: float, price: float) -> float:
        told = max(leakage, self.target)
        return told * (1 + told / _MUCH) - price * neighbours

    def _record(self, step: float, leakage: float, neighbours: float, *, chosen: bool) -> None:
        found = {"leakage": leakage, "neighbours": neighbours, "chosen": chosen}
        self.history.append({"attribute": self.name, "step": step, **found})


def _find_least(costs: Sequence[float], tie: float) -> int:
    return next(i for i, cost in enumerate(costs) if cost <= min(costs) + tie)
