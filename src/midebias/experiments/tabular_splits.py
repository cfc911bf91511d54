"""Training and test rows of Adult and German credit, as the compared methods take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..columns import read_frame
from ..datasets import fetch_adult, fetch_german
from ..errors import InputError
from ..sklearn import MIDebiasClassifier
from ..tabular.piecewise_linear import PiecewiseLinear
from ..tabular.preprocessing import TablePreprocessor

FOLDS = 5
"""Of German credit."""


@dataclass(frozen=True)
class TabularSplit:
    """Training and test rows: frames, their matrices (the same columns for every method), labels and attribute."""

    frame: Any
    frame_test: Any
    x: NDArray[np.float64]
    x_test: NDArray[np.float64]
    y: NDArray[Any]
    y_test: NDArray[Any]
    c: NDArray[Any]
    c_test: NDArray[Any]

    def with_usual_columns(self) -> TabularSplit:
        """The same rows as most people would hand them to a linear model: numbers standardised, categories one-hot."""
        from sklearn.compose import ColumnTransformer, make_column_selector
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers = make_column_selector(dtype_include="number")
        others = make_column_selector(dtype_exclude="number")
        columns = ColumnTransformer(
            [("numbers", StandardScaler(), numbers), ("others", OneHotEncoder(handle_unknown="ignore"), others)],
            sparse_threshold=0,
        )
        x = columns.fit_transform(self.frame)
        return replace(self, x=x, x_test=columns.transform(self.frame_test))


def load_split(dataset: str, attribute: str, seed: int, limit: int | None = None) -> TabularSplit:
    """Read Adult's official split, or fold ``seed`` of German's five; ``limit`` keeps so many rows of each part.

    Folds 5 to 9 are those of a second shuffle of the rows, and so on. "adult-thirds" is Adult's training file alone, a
    random third of which, drawn by ``seed``, is the test.
    """
    if dataset == "adult":
        train, test = fetch_adult(attribute=attribute), fetch_adult(split="test", attribute=attribute)
        frame, frame_test = train.data, test.data
        y, y_test = train.target.to_numpy(), test.target.to_numpy()
        c, c_test = (b.sensitive_features[attribute].astype(str).to_numpy() for b in (train, test))
    elif dataset == "adult-thirds":
        adult = fetch_adult(attribute=attribute)
        labels, sensitive = adult.target.to_numpy(), adult.sensitive_features[attribute].astype(str).to_numpy()
        b, a = np.split(np.random.default_rng(seed).permutation(len(labels)), [len(labels) // 3])
        frame, frame_test = adult.data.iloc[a], adult.data.iloc[b]
        y, y_test, c, c_test = labels[a], labels[b], sensitive[a], sensitive[b]
    elif dataset == "german":
        from sklearn.model_selection import StratifiedKFold

        german = fetch_german(attribute=attribute)
        labels, sensitive = german.target.to_numpy(), german.sensitive_features[attribute].astype(str).to_numpy()
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed // FOLDS)
        strata = np.char.add(labels.astype(str), sensitive.astype(str))
        a, b = list(folds.split(german.data, strata))[seed % FOLDS]
        frame, frame_test = german.data.iloc[a], german.data.iloc[b]
        y, y_test, c, c_test = labels[a], labels[b], sensitive[a], sensitive[b]
    else:
        raise InputError(f"dataset must be 'adult', 'adult-thirds' or 'german', got {dataset!r}")
    n = len(frame) if limit is None else limit
    frame, frame_test = frame.iloc[:n].reset_index(drop=True), frame_test.iloc[:n].reset_index(drop=True)
    y, y_test, c, c_test = y[:n], y_test[:n], c[:n], c_test[:n]
    preprocessor = TablePreprocessor()
    x = preprocessor.fit_transform(read_frame(frame), None)
    x_test = preprocessor.transform(read_frame(frame_test))
    reading = PiecewiseLinear.fit(x, MIDebiasClassifier().n_pieces)
    if reading is not None:  # as the encoder of midebias reads them
        x, x_test = (reading(torch.from_numpy(part)).numpy() for part in (x, x_test))
    return TabularSplit(frame, frame_test, x, x_test, y, y_test, c, c_test)
