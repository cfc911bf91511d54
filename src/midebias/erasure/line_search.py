"""The line search: how far along a map held-out rows are moved, by what they leak and the neighbours that they keep."""

from typing import Any, NamedTuple

from torch import Tensor

from .judging import Judge
from .residual import ResidualTransport
from .transport import GroupTransport

Transport = GroupTransport | ResidualTransport
PRICE = 0.7  # nats that all neighbours are worth
LEAST_GAIN = 0.003  # nats
_FRACTIONS = (0.25, 0.5, 0.75)


class End(NamedTuple):
    """The end of a path: the direction (n, p), the longest step, and what is left after it."""

    direction: Tensor
    farthest: float
    leakage: float
    neighbours: float


class LineSearch:
    """Moves the rows of a judge step by step, and records every map that it judged.

    Parameters
    ----------
    judge : Judge
    before, moved : Tensors of shape (n, p)
        The rows of the judge after the linear map, and where earlier maps brought them.
    target : float
        Nats below which leakage does not count.
    min_neighbours : float, optional
        Share of the neighbours in ``before`` below which no step goes.
    name : str
        Of the attribute.
    """

    def __init__(
        self, judge: Judge, before: Tensor, moved: Tensor, *, target: float, min_neighbours: float | None, name: str
    ) -> None:
        self.judge, self.before, self.moved = judge, before, moved
        self.target, self.min_neighbours, self.name = target, min_neighbours, name
        self.leakage, self.history = judge.measure_leakage(moved), list[dict[str, Any]]()
        self._record(0.0, self.leakage, self._count(moved), chosen=True)

    def judge_end(self, transport: Transport, weights: Tensor) -> End:
        """Judge a transport as far as it may go, with the weights of the groups (n, k)."""
        direction = transport(self.moved, weights) - self.moved
        farthest = self._find_farthest(direction)
        after = self.moved + farthest * direction
        return End(direction, farthest, self.judge.measure_leakage(after), self._count(after))

    def compare(self, leakage: float, neighbours: float, price: float = PRICE) -> float:
        """Nats that a map costs."""
        return max(leakage, self.target) - price * neighbours

    def walk(self, end: End, price: float) -> float:
        """Go towards an end as far as is worth it; return the step, 0 where nothing is."""
        path = [(0.0, self.leakage, self._count(self.moved))]
        for step in (f * end.farthest for f in _FRACTIONS):
            after = self.moved + step * end.direction
            path.append((step, self.judge.measure_leakage(after), self._count(after)))
        path.append((end.farthest, end.leakage, end.neighbours))
        costs = [self.compare(leakage, kept, price) for _, leakage, kept in path]
        best = next(i for i, cost in enumerate(costs) if cost <= min(costs) + LEAST_GAIN)
        helps = path[best][1] <= self.leakage - max(LEAST_GAIN, 0.05 * self.leakage)
        for i, (step, leakage, kept) in enumerate(path[1:], 1):
            self._record(step, leakage, kept, chosen=helps and i == best)
        if not helps:
            return 0.0
        step, self.leakage, _ = path[best]
        self.moved = self.moved + step * end.direction
        return step

    def _record(self, step: float, leakage: float, neighbours: float, *, chosen: bool) -> None:
        found = {"leakage": leakage, "neighbours": neighbours, "chosen": chosen}
        self.history.append({"attribute": self.name, "step": step, **found})

    def _find_farthest(self, direction: Tensor) -> float:
        """The longest step after which held-out rows keep enough neighbours, by bisection."""
        low, high = 0.0, 1.0
        if self.min_neighbours is None or self._count(self.moved + direction) >= self.min_neighbours:
            return high
        for _ in range(6):
            middle = (low + high) / 2
            enough = self._count(self.moved + middle * direction) >= self.min_neighbours
            low, high = (middle, high) if enough else (low, middle)
        return low

    def _count(self, after: Tensor) -> float:
        return self.judge.count_neighbours(self.before, after)
