"""Training and test rows of Adult and German credit, as the compared methods take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..column_kinds import read_frame
from ..datasets import fetch_adult, fetch_german
from ..errors import InputError
from ..sklearn import MIDebiasClassifier
from ..tabular.piecewise_linear import PiecewiseLinear
from ..tabular.preprocessing import TablePreprocessor

FOLDS = 5  # of German credit


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

    Folds 5 to 9 are those of a second shuffle. Of "adult-thirds", Adult's training file, a random third is the test.
    """

    def read(bunch: Any) -> tuple[Any, NDArray[Any], NDArray[Any]]:
        return bunch.data, bunch.target.to_numpy(), bunch.sensitive_features[attribute].astype(str).to_numpy()

    if dataset == "adult":
        parts = [read(fetch_adult(split=split, attribute=attribute)) for split in ("train", "test")]
    elif dataset in ("adult-thirds", "german"):
        whole = fetch_adult(attribute=attribute) if dataset == "adult-thirds" else fetch_german(attribute=attribute)
        data, labels, sensitive = read(whole)
        if dataset == "adult-thirds":
            b, a = np.split(np.random.default_rng(seed).permutation(len(labels)), [len(labels) // 3])
        else:
            from sklearn.model_selection import StratifiedKFold

            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed // FOLDS)
            a, b = list(folds.split(data, np.char.add(labels.astype(str), sensitive.astype(str))))[seed % FOLDS]
        parts = [(data.iloc[rows], labels[rows], sensitive[rows]) for rows in (a, b)]
    else:
        raise InputError(f"dataset must be 'adult', 'adult-thirds' or 'german', got {dataset!r}")
    (frame, y, c), (frame_test, y_test, c_test) = (
        (part.iloc[:limit].reset_index(drop=True), labels[:limit], groups[:limit]) for part, labels, groups in parts
    )
    preprocessor = TablePreprocessor()
    x = preprocessor.fit_transform(read_frame(frame), None)
    x_test = preprocessor.transform(read_frame(frame_test))
    reading = PiecewiseLinear.fit(x, MIDebiasClassifier().n_pieces)
    if reading is not None:  # as the encoder of midebias reads them
        x, x_test = (reading(torch.from_numpy(part)).numpy() for part in (x, x_test))
    return TabularSplit(frame, frame_test, x, x_test, y, y_test, c, c_test)
