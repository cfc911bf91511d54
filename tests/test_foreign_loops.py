"""One line, really: a loop that knows nothing of this library. All of them, with seeds: `benchmarks.one_line`."""

from __future__ import annotations

from benchmarks.one_line import summarize_loops, train_with_and_without


def test_one_line_brings_a_fresh_probe_to_chance() -> None:
    plain, ours = train_with_and_without("perceptron on a table", seed=5)
    assert plain["probe_balanced_accuracy"] > 0.70
    assert ours["test_accuracy"] > plain["test_accuracy"] - 0.01
    assert ours["probe_balanced_accuracy"] < 0.59  # 0.56 in the mean over seeds, see results/one-line.json
    assert ours["mi"] < 0.02
    without, with_line = summarize_loops([plain, ours])
    assert not without["line"]
    assert with_line["probe_balanced_accuracy"] == ours["probe_balanced_accuracy"]
