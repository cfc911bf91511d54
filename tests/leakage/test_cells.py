"""Cells: each row gets what its cell has, and cells tell of the label and not of groups."""

from __future__ import annotations

import numpy as np
import torch

from midebias.column_kinds import read_columns
from midebias.leakage.cells import Cells, hold_aside
from midebias.leakage.confidence import measure_information

N = 3000


def draw(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """z of two columns, of which one tells y and the other c; log-odds of y; y and c."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, 2))
    c = (z[:, 1] + 0.5 * rng.normal(size=N) > 0).astype(int)
    margin = 2 * z[:, 0]
    y = (margin + rng.logistic(size=N) > 0).astype(int)
    return torch.from_numpy(z), torch.from_numpy(np.stack([-margin / 2, margin / 2], axis=1)), y, c


def count(cell: torch.Tensor, c: np.ndarray) -> np.ndarray:
    table = np.zeros((int(cell.max()) + 1, 2), dtype=int)
    np.add.at(table, (cell.numpy(), c), 1)
    return table


def join(n_cells: int, limit: float | None = None) -> tuple[Cells, torch.Tensor, np.ndarray, np.ndarray]:
    z, outputs, y, c = draw()
    cells = Cells.join(z, outputs, outputs.argmax(1), [c], np.zeros(N, dtype=int), n_cells, limit, seed=0)
    return cells, z, y, c


def test_each_row_is_given_the_mean_of_its_cell() -> None:
    z, outputs, _, _ = draw()
    cells = Cells.place(z, 12, outputs, seed=0)
    code = cells.code(z)
    assert len(np.unique(code)) == 12
    found, means = cells.read(z)
    assert torch.equal(means, cells(z))
    for k in range(12):
        assert torch.allclose(means[code == k], z[code == k].mean(dim=0))
        assert torch.allclose(found[code == k], outputs[code == k].mean(dim=0))


def test_few_distinct_rows_are_cells_themselves() -> None:
    z = torch.from_numpy(np.random.default_rng(0).integers(3, size=(500, 1)).astype(float))
    assert torch.equal(Cells.place(z, 8, seed=0)(z), z)


def test_joined_cells_tell_of_the_label_and_not_of_groups() -> None:
    cells, z, y, c = join(16, limit=1.0)
    placed = Cells.place(z, 16, seed=0)
    assert len(cells.means) == 16
    joined, laid = cells.code(z), placed.code(z)
    assert measure_information([count(joined, c)]) < 0.3 * measure_information([count(laid, c)])
    assert measure_information([count(joined, y)]) > 0.7 * measure_information([count(laid, y)])


def test_cells_keep_the_decisions() -> None:
    cells, z, _, _ = join(2)
    _, outputs, _, _ = draw()
    found, _ = cells.read(z)
    assert len(cells.means) == 2
    assert (found.argmax(1) == outputs.argmax(1)).double().mean() > 0.95
    assert torch.allclose(found.exp().sum(1), torch.ones(N).double())


def test_cells_tell_of_the_label_though_nearly_all_are_decided_alike() -> None:
    z, outputs, y, _ = draw()
    decided = (z[:, 0] > 2.3).long()
    told_alike = (0.4 * z[:, 0] + torch.randn(N, generator=torch.Generator().manual_seed(0)) > 0).long().numpy()
    cells = Cells.join(z, outputs, decided, [told_alike], np.zeros(N, dtype=int), 32, seed=0)
    of_places = measure_information([count(Cells.place(z, 32, seed=0).code(z), y)])
    assert measure_information([count(cells.code(z), y)]) > 0.3 * of_places


def test_a_limit_decides_how_many_cells_there_are() -> None:
    few, many = (len(join(32, limit)[0].means) for limit in (0.05, 0.5))
    assert 2 <= few < many <= 32


def test_a_quarter_of_the_rows_is_held_aside() -> None:
    c = read_columns(np.arange(400) % 2, "c")
    kept, aside = hold_aside(c, 400, seed=1)
    assert len(aside) == 100
    assert sorted([*kept, *aside]) == list(range(400))
    assert (hold_aside(c, 400, seed=1)[1] == aside).all()
    assert (hold_aside(c, 400, seed=2)[1] != aside).any()
