"""What the three scikit-learn estimators share: reading, fitting, and the representation."""

import functools
import math
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ..attributes import Attribute, Categorical, encode_columns
from ..column_kinds import Column
from ..deferred_reads import finish_reads
from ..errors import InputError
from ..leakage.cells import hold_aside
from ..leakage.certificate import Certificate, certify_columns
from ..networks.early_stopping import EarlyStopping
from ..penalty import Criterion
from ..random_state import draw_seed
from ..tabular.boosted_trees import BoostedTrees
from ..tabular.cells import describe_miss, lay_cells, tighten_limits
from ..tabular.missing_attributes import draw_missing
from ..tabular.networks import TableModel, TabularNetwork
from ..tabular.parameters import LIMITS, check_parameters
from ..tabular.penalty import TabularPenalty, choose_weights
from ..tabular.preprocessing import TablePreprocessor
from ..tabular.separate_penalties import SeparatePenalties, has_gaps
from ..tabular.table import Table, read_table, refuse_other_order
from ..tabular.targets import Target
from ..tabular.trainer import TabularRows, TabularTrainer
from ..tabular.weight_path import FrontPoint, WeightPath
from ..training.records import EpochRecord

_LEAST_ROWS = 5
_ROWS_PREDICTED = 8192
_FEWEST_STEPS_OF_A_PATH = 150


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, TableModel):  # type: ignore[misc]  # scikit-learn is not annotated
    """Base of the estimators, which say what y is; their docstrings explain the parameters."""

    criterion: Criterion = "independence"
    mi_weight: float | None = None
    max_mi: float | Mapping[str, float] | None = None
    sensitive_columns: str | int | Sequence[str | int] | None = None
    missing_attribute: Literal["mask", "draw"] = "mask"
    hidden_layer_sizes: Sequence[int] = (256, 64)
    dim: int | None = None
    n_pieces: int = 32
    module: torch.nn.Module | Callable[[int], torch.nn.Module] | None = None
    preprocess: bool = True
    estimator: Any = "gaussian"
    epochs: int | None = None
    batch_size: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 1.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    warm_start: bool = False
    callbacks: Sequence[Callable[[Any, EpochRecord], bool | None]] | None = None
    max_categories: int = 1000
    verbose: bool = False
    random_state: int | np.random.RandomState | None = None

    def fit(
        self, X: Any, y: Any = None, sensitive_features: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit.

        Parameters
        ----------
        X : data frame or array of shape (n, p)
            Numbers, booleans and text, with missing values.
        y : array of shape (n,) or (n, n_outputs), optional
            Labels of any kind for a classifier, numbers for a regressor, either for a transformer; without y, z is to
            reconstruct X.
        sensitive_features : array, list, series, frame or mapping, of n rows, optional
            One or several attributes, categories or quantities. Rows in which one is missing train the task alone, and
            where others miss another one, each is penalised by itself; see ``missing_attribute``.
            Without any, and without ``sensitive_columns``, `fit` warns and trains without a penalty.
        sample_weight : array of shape (n,), optional
            Weights in the task loss; the penalty counts every row of positive weight once.

        Raises
        ------
        InputError
            A parameter, a column or an argument that cannot be used; the message names it.
        """
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        resume = bool(self.warm_start) and hasattr(self, "network_")
        table, target, weights = self._read_rows(X, y, sensitive_features, sample_weight, resume)
        seed, n_cells = draw_seed(self.random_state), parameters.get("n_cells")
        aside: tuple[Table, Target] | None = None
        if n_cells is not None:
            kept, held = hold_aside(table.sensitive, len(table), seed)
            aside = table.select(held), target.select(held)
            table, target, weights = table.select(kept), target.select(kept), None if weights is None else weights[kept]
        c, attribute = encode_columns(table.sensitive) if table.sensitive else (None, None)
        limits = {name.removeprefix("max_"): parameters[name] for name in LIMITS if parameters.get(name) is not None}
        limits |= {"leakage": limits.pop("mi")} if "mi" in limits else {}
        disparity = limits.get("parity_difference" if self.criterion == "independence" else "odds_difference")
        if aside is not None:
            limits = tighten_limits(limits, aside[0].sensitive, aside[1].y.numpy())
        mi_weight, decision_weight = choose_weights(
            self.criterion, decides=target.task == "classification" and set(limits) != {"leakage"},
            mi_weight=self.mi_weight, decision_weight=parameters.get("decision_weight"),
        )  # fmt: skip
        if attribute is None and mi_weight > 0:
            neither = f"{type(self).__name__}.fit was given neither sensitive_features nor sensitive_columns"
            warnings.warn(f"{neither}: it trains plainly, without a penalty", UserWarning, stacklevel=2)
        if not resume:
            self._preprocessor = TablePreprocessor(raw=not self.preprocess, max_categories=self.max_categories)
            x = torch.from_numpy(self._preprocessor.fit_transform(table.features, weights))
        else:
            x = torch.from_numpy(self._preprocessor.transform(table.features))
        if target.task == "reconstruction":
            target = Target("reconstruction", x, x.shape[1])
        if c is not None and attribute is not None and self.missing_attribute == "draw":
            c = draw_missing(c, x, None if target.task == "reconstruction" else target.y, attribute, seed)
        inputs = x
        if not resume:
            trees, unseen = self._grow_trees(x.numpy(), target, weights, seed)
            inputs = x if unseen is None else torch.cat([x, unseen], dim=1)
            self.network_ = TabularNetwork.build(
                x, target.n_outputs, hidden=tuple(self.hidden_layer_sizes), dim=self.dim, n_pieces=self.n_pieces,
                module=self.module, trees=trees, seed=seed,
            )  # fmt: skip
        self.attribute_ = attribute
        if isinstance(attribute, Categorical) and c is not None and not bool(c.isnan().any()):
            c = c.long()  # labels are read fastest as such
        rows = TabularRows(inputs, target.y, c, None if weights is None else torch.from_numpy(weights))
        path: WeightPath | None = None
        if attribute is not None and mi_weight > 0 and self._looks_for_a_weight(limits, len(rows)):
            path = WeightPath(
                mi_weight, limits, attribute, names=[column.name for column in table.sensitive],
                criterion=self.criterion, task=target.task, groups_of=target.groups_of, seed=seed,
            )  # fmt: skip
        self._train(rows, target, attribute if mi_weight > 0 else None, mi_weight, decision_weight, path, seed)
        self.__dict__.pop("certificate_", None)  # of an earlier fit
        if aside is not None:
            self.network_.cells = lay_cells(
                self.network_, inputs, table.sensitive, target.groups_of, target.y, target.task, n_cells, disparity,
                self._offset, seed,
            )  # fmt: skip
            self.certificate_ = self._certify(*aside)
            if miss := describe_miss(self.certificate_, self.criterion, disparity):
                warnings.warn(f"{type(self).__name__}: {miss}", UserWarning, stacklevel=2)
        return self

    def _certify(self, table: Table, target: Target) -> Certificate:
        """What cells tell of attributes, by rows that nothing was fitted to."""
        cells = np.unique(self._run_network(table.features)[1], axis=0, return_inverse=True)[1].reshape(-1)
        return certify_columns(cells, table.sensitive, target.y.numpy() if target.task == "classification" else None)

    def _grow_trees(
        self, x: NDArray[np.float64], target: Target, weights: NDArray[np.float64] | None, seed: int
    ) -> tuple[BoostedTrees | None, torch.Tensor | None]:
        """Boosted trees for the network to read, and what they predict of rows not seen; of most estimators none."""
        return None, None

    def _looks_for_a_weight(self, limits: Mapping[str, float], n: int) -> bool:
        """Whether the weight is looked for: to keep limits, or beside trees, where trying a weight is cheap."""
        by_default = self.network_.reads_trees and self.mi_weight is None and not self.early_stopping
        steps = math.inf if self.epochs is None else self.epochs * max(1, n // self.batch_size)
        return bool(limits) or (by_default and steps >= _FEWEST_STEPS_OF_A_PATH)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the representation z, of shape (n, dim), of X; its sensitive columns may be missing."""
        return self._predict(X)[1]

    def describe(self) -> dict[str, Any]:
        """Return columns and outputs as plain JSON; see `midebias.serving.ServedTable`."""
        check_is_fitted(self, "network_")
        return {**self._describe_outputs(), "columns": self._preprocessor.entries}

    @abstractmethod
    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        """y of n rows as a target; ``resume`` goes on from the last fit."""

    @abstractmethod
    def _describe_outputs(self) -> dict[str, Any]:
        """``task``, and what turns outputs into predictions."""

    def _read_rows(
        self, X: Any, y: Any, sensitive_features: Any, sample_weight: ArrayLike | None, resume: bool
    ) -> tuple[Table, Target, NDArray[np.float64] | None]:
        """The rows of positive weight."""
        for given, name in ((y, "y"), (sensitive_features, "sensitive_features")):
            refuse_other_order(X, given, name)
        table = read_table(self, X, self.sensitive_columns, sensitive_features, reset=not resume)
        n = len(table)
        if n < _LEAST_ROWS:
            raise InputError(f"X has n_samples={n} rows; at least {_LEAST_ROWS} are needed")
        if sample_weight is None:
            return table, self._read_target(y, n, None, resume=resume), None
        weights = _check_sample_weight(sample_weight, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise InputError("sample_weight must hold a weight above zero")
        target = self._read_target(y, n, weights, resume=resume)
        kept = np.flatnonzero(weights)
        return table.select(kept), target.select(kept), weights[kept]

    def _train(
        self, rows: TabularRows, target: Target, attribute: Attribute | None, mi_weight: float, decision_weight: float,
        path: WeightPath | None, seed: int,
    ) -> None:  # fmt: skip
        """Train the network; without an attribute on the task alone."""
        penalty: TabularPenalty | SeparatePenalties | None = None
        if attribute is not None:
            # Closed forms of that many pairs need no older ones beside them.
            bank = 0 if self.estimator == "gaussian" and min(self.batch_size, len(rows)) >= 256 else None
            build = functools.partial(
                TabularPenalty, self.network_.dim, target.n_outputs, criterion=self.criterion, seed=seed,
                condition_on=target.condition_on, decision_weight=decision_weight, estimator=self.estimator, bank=bank,
            )  # fmt: skip
            separate = rows.c is not None and has_gaps(rows.c)
            penalty = SeparatePenalties(attribute, build) if separate else build(attribute)
        early_stopping = EarlyStopping(self.network_, self.n_iter_no_change, least_gain=1e-6)
        trainer = TabularTrainer(
            network=self.network_, penalty=penalty, task=target.task, mi_weight=mi_weight, epochs=self.epochs,
            batch_size=self.batch_size, learning_rate=self.learning_rate, weight_decay=self.weight_decay,
            early_stopping=early_stopping if self.early_stopping else None, path=path, seed=seed,
            validation_fraction=self.validation_fraction if path is None else max(self.validation_fraction, 0.2),
        )  # fmt: skip
        self.history_ = trainer.records
        trainer.train(rows, self._call_callbacks)
        self.n_iter_ = len(trainer.records)
        finish_reads()
        self.mi_ = () if penalty is None else tuple(penalty.readings.tolist())
        self.front_: list[FrontPoint] = [] if path is None else path.points
        chosen = None if path is None or path.chosen is None else path.points[path.chosen]
        self.held_out_mi_ = None if chosen is None else chosen.leakage
        self.readings_ = {} if chosen is None else dict(chosen.readings)
        self.mi_weight_ = trainer.mi_weight
        self._offset: Any = 0.0
        if penalty is not None and target.task == "classification":
            self._judge_answers(rows, path)
        if path is not None and path.describe_misses():
            warnings.warn(f"{type(self).__name__} does not keep {path.describe_misses()}", UserWarning, stacklevel=3)

    @torch.no_grad()
    def _judge_answers(self, rows: TabularRows, path: WeightPath | None) -> None:
        """Move decisions that are as good as constant, or warn of them."""
        with self.network_.read_beforehand():
            outputs = torch.cat([self.network_(part)[0] for part in rows.x.double().split(_ROWS_PREDICTED)])
        offset = outputs.new_zeros(()) if path is None else path.move_decision(outputs)
        self._offset, answers = offset.numpy(), (outputs + offset).argmax(dim=1)
        if int(answers.min()) != int(answers.max()) or (self.epochs is not None and path is None):
            return
        advice = "give a smaller mi_weight or decision_weight"
        telling = [p for p in self.front_ if not p.accuracy <= self.front_[-1].accuracy]
        if telling:
            least = min(telling, key=lambda p: p.parity_difference)
            advice = f"max_parity_difference={least.parity_difference:.2g} could be met without, see front_"
        gave_up = f"{type(self).__name__} answers alike for all rows that it was fitted on"
        warnings.warn(f"{gave_up}: under this penalty nothing is left of the task; {advice}", UserWarning, stacklevel=4)

    def use_front_point(self, index: int) -> Self:
        """Make the model that of ``front_[index]``, as it was on the path, and return it."""
        check_is_fitted(self, "network_")
        if not -len(self.front_) <= index < len(self.front_):
            raise InputError(f"index must be that of one of the {len(self.front_)} points of front_, got {index}")
        if self.network_.cells is not None:
            raise InputError("use_front_point: points of front_ have no cells, and what has none is not certified")
        point = self.front_[index]
        self.network_.load_point(point.state)
        self.held_out_mi_, self.mi_weight_, self._offset = point.leakage, point.mi_weight, 0.0
        self.readings_ = dict(point.readings)
        return self

    def _call_callbacks(self, record: EpochRecord) -> bool:
        if self.verbose and (record.epoch <= 10 or record.epoch % 10 == 0):
            mi = "".join(f", {value:.4f} nats" for value in record.mi)
            sys.stdout.write(f"epoch {record.epoch}: loss {record.loss:.4f}{mi}\n")
        answers = [callback(self, record) for callback in self.callbacks or ()]  # all are called, whatever one answers
        return any(answers)

    def compute_outputs(self, columns: Sequence[Column]) -> tuple[NDArray[np.float64], ...]:
        """Return predictions, if there are any, and z (n, dim), of columns of X."""
        outputs, z = self._run_network(columns)
        return (*self._finish(outputs), z)

    def _finish(self, outputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Turn the network's outputs (n, n_outputs) into predictions."""
        return ()

    def _predict(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Outputs and z of X."""
        check_is_fitted(self, "network_")
        return self._run_network(read_table(self, X, self.sensitive_columns, reset=False).features)

    @torch.no_grad()
    def _run_network(self, columns: Sequence[Column]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = torch.from_numpy(self._preprocessor.transform(columns))
        outputs, z = zip(*(self.network_(part) for part in x.split(_ROWS_PREDICTED)), strict=True)
        return torch.cat(outputs).numpy(), torch.cat(z).numpy()

    @property
    def _n_features_out(self) -> int:
        return int(self.network_.dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(self.preprocess)
        tags.non_deterministic = False
        return tags
