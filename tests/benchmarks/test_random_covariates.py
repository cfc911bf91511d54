from __future__ import annotations

import numpy as np
import torch

from benchmarks.random_covariates import draw_covariates, measure_draw, render_table


def test_a_seed_draws_the_same_and_a_link_moves_both_sides() -> None:
    for seed in range(8):
        one, again, linked = (draw_covariates(seed, link) for link in (0.0, 0.0, 2.0))
        assert torch.equal(one.z, again.z)
        assert one.described == again.described == linked.described
        assert not torch.equal(one.z, linked.z)


def test_nothing_is_rejected_much_more_often_than_said_and_links_are_found() -> None:
    free = [measure_draw(seed, 0.0, 99, read=False) for seed in range(40, 70)]
    linked = [measure_draw(seed, 1.0, 99, read=False) for seed in range(40, 55)]
    assert np.mean([row["p_value"] <= 0.05 for row in free]) <= 0.17  # three errors of 5%
    assert np.mean([row["p_value"] <= 0.05 for row in linked]) >= 0.6
    text = render_table({"rows": free + linked, "command": "run"})
    assert "| all | 30 |" in text
