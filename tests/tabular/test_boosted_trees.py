from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.ensemble import HistGradientBoostingClassifier

from midebias.serving import export_model, load_run, make_servable
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.boosted_trees import BoostedTrees


def rows(n: int = 600, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(n, 2)), np.eye(3)[rng.integers(3, size=n)]])
    score = x[:, 0] * x[:, 1] + x[:, 3] + 0.3 * rng.normal(size=n)
    return x, np.searchsorted(np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1]), score)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_module_predicts_what_the_trees_of_scikit_learn_do(n_classes: int) -> None:
    x, y = rows(n_classes=n_classes)
    model = HistGradientBoostingClassifier(
        max_iter=7, max_depth=6, max_leaf_nodes=16, early_stopping=False, random_state=0
    ).fit(x, y)
    trees = [predictor.nodes for of_round in model._predictors for predictor in of_round]
    added = 1 if n_classes == 2 else n_classes
    start = torch.from_numpy(model._baseline_prediction).reshape(added)
    module = BoostedTrees._join(torch.eye(5).double(), [(trees, start)], added)
    fresh = np.random.default_rng(1).normal(size=(1500, 5))
    expected = model.decision_function(fresh).reshape(1500, added)
    np.testing.assert_allclose(module.predict(torch.from_numpy(fresh)).numpy(), expected, atol=1e-9)
    both = module(torch.from_numpy(fresh))
    assert both.shape == (1500, 5 + added)


def test_log_odds_of_rows_not_seen_are_no_better_on_labels_that_nothing_tells() -> None:
    x, y = rows()
    trees, unseen = BoostedTrees.fit(x, [slice(2, 5)], np.random.default_rng(3).permutation(y), None, seed=0)
    assert unseen.shape == (600, 1)
    assert trees.order.shape == (5, 3)  # the category is one number
    of_labels = BoostedTrees.fit(x, [slice(2, 5)], y, None, seed=0)[1]
    told, guessed = (((p[:, 0] > 0).numpy() == y).mean() for p in (of_labels, unseen))
    assert told > 0.8
    assert guessed < 0.6


def test_a_weight_of_two_is_worth_a_row_twice() -> None:
    x, y = rows()
    weights = np.where(np.arange(600) < 300, 1.0, 0.05)
    weighted, _ = BoostedTrees.fit(x, [], np.where(np.arange(600) < 300, y, 1 - y), weights, seed=0)
    right = (weighted.predict(torch.from_numpy(x[:300]))[:, 0] > 0).numpy() == y[:300]
    assert right.mean() > 0.8  # rows that weigh little say the opposite


def test_trees_are_saved_served_and_exported_with_the_network(tmp_path: Path) -> None:
    x, y = rows()
    frame = pd.DataFrame(x[:, :2], columns=["a", "b"]).assign(kind=np.array(["u", "v", "w"])[x[:, 2:].argmax(1)])
    sex = np.random.default_rng(2).integers(2, size=600)
    model = MIDebiasClassifier(base="trees", epochs=5, random_state=0).fit(frame, y, sensitive_features=sex)
    assert isinstance(model.network_.encoder.reading, BoostedTrees)
    np.testing.assert_allclose(model.transform(frame).sum(axis=1), 0, atol=1e-12)  # z has no more room than outputs
    served = make_servable(model)
    inputs = torch.from_numpy(served.encode(frame))
    with torch.no_grad():
        np.testing.assert_allclose(served(inputs)[0].numpy(), model.predict_proba(frame), atol=1e-12)
    (tmp_path / "preprocessing.json").write_text(json.dumps(model.describe()))
    save_file({k: v.contiguous() for k, v in model.network_.state_dict().items()}, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(load_run(tmp_path)(inputs)[1], served(inputs)[1])
    for suffix in ("pt2", "onnx"):
        assert export_model(model, tmp_path / f"model.{suffix}").largest_difference < 1e-10
