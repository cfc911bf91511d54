"""Exported models compute what the model computes, for batches of any size."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from midebias.cli import run
from midebias.column_kinds import read_column
from midebias.errors import DataError, InputError
from midebias.networks import DigitClassifier, GlobalPoolClassifier
from midebias.randomness import seeded
from midebias.serving import ServedModel, ServedTable, export_model, load_run, make_servable
from midebias.sklearn import MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer
from midebias.tabular.networks import TabularNetwork
from midebias.tabular.preprocessing import TablePreprocessor

from ..conftest import generator

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def onnx_outputs(path: Path, x: Any) -> list[np.ndarray[Any, Any]]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": np.asarray(x)})


def torch_outputs(path: Path, x: torch.Tensor) -> list[np.ndarray[Any, Any]]:
    with torch.no_grad():
        return [out.numpy() for out in torch.export.load(path).module()(x)]


def table(n: int = 200) -> tuple[pd.DataFrame, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    sex = rng.integers(2, size=n)
    X = pd.DataFrame(
        {
            "income": np.where(rng.random(n) < 0.1, np.nan, 1e5 * rng.normal(size=n)),
            "work": rng.choice(["private", "state", None], n),
            "age": rng.normal(size=n) + sex,
            "empty": np.full(n, np.nan),
            "married": rng.random(n) < 0.5,
        }
    )
    return X, np.where(X["age"] > 0.5, "rich", "poor"), sex


def seeded_modules(test: Any) -> Any:
    """A test may make modules without a thought for the global generator."""

    @functools.wraps(test)
    def inside(*args: Any, **kwargs: Any) -> None:
        with seeded(0):
            test(*args, **kwargs)

    return inside


class Noisy(nn.Module):
    """An encoder with all that differs between training and prediction, and several representations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.second = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.first(x)
        return h, self.second(h)


# -- networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_a_pair_of_modules_for_batches_of_any_size(tmp_path: Path, format: Any) -> None:
    with seeded(0):
        encoder, head = Noisy(), nn.Linear(3, 2)
    path = tmp_path / "model"
    written = export_model((encoder, head), path, example=torch.zeros(1, 4), format=format)
    assert written.outputs == ("logits", "z")
    assert written.largest_difference <= 1e-5
    assert encoder.training  # a copy is exported: the model in training is not touched
    encoder.eval()
    for n in (1, 5, 64):
        x = torch.randn(n, 4, generator=generator(n))
        z = encoder(x)[-1]
        for own, exported in zip((head(z), z), (onnx_outputs if format == "onnx" else torch_outputs)(path, x)):  # noqa: B905
            np.testing.assert_allclose(exported, own.detach().numpy(), atol=1e-5)


def test_the_lightning_door_leaves_penalty_and_critic_behind(tmp_path: Path) -> None:
    from midebias import MIPenalty
    from midebias.attributes import Categorical
    from midebias.lightning import DebiasModule

    with seeded(0):
        module = DebiasModule(nn.Linear(4, 3), nn.Linear(3, 2), MIPenalty(3, Categorical(2)))
    served = make_servable(module, example=torch.zeros(1, 4))
    assert sum(p.numel() for p in served.parameters()) == 4 * 3 + 3 + 3 * 2 + 2
    x = torch.randn(5, 4, generator=generator(0))
    assert torch.equal(served(x)[0], module(x))
    assert export_model(served, tmp_path / "model.pt2").outputs == ("logits", "z")


# -- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer])
def test_a_table_is_preprocessed_by_the_served_module(kind: Any) -> None:
    X, y, sex = table()
    target = 100 + 7 * X["age"].to_numpy() if kind is MIDebiasRegressor else y
    model = kind(epochs=1, random_state=0, criterion="independence").fit(X, target, sensitive_features=sex)
    fresh = X.iloc[:7].copy()
    fresh.loc[0, "work"] = "never seen"
    fresh.loc[1, ["income", "work", "age"]] = [None, None, 1e300]
    served = make_servable(model)
    found = served(torch.from_numpy(served.encode(fresh)))
    own = [model.transform(fresh)]
    own = own if kind is MIDebiasTransformer else [
        model.predict_proba(fresh) if kind is MIDebiasClassifier else model.predict(fresh), *own
    ]  # fmt: skip
    for a, b in zip(found, own, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-10)
    shuffled = fresh[list(reversed(fresh.columns))]
    np.testing.assert_array_equal(served.encode(shuffled), served.encode(fresh))  # columns go by their names
    with pytest.raises(InputError, match="'age'"):
        served.encode(fresh.drop(columns="age"))
    with pytest.raises(InputError, match="'age' held numbers"):
        served.encode(fresh.assign(age="old"))


def test_a_table_in_onnx_says_what_its_columns_are(tmp_path: Path) -> None:
    X, y, sex = table()
    model = MIDebiasClassifier(epochs=1, random_state=0).fit(X, y, sensitive_features=sex)
    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    said = json.loads(session.get_modelmeta().custom_metadata_map["midebias"])
    assert [c["name"] for c in said["columns"]] == list(X.columns)
    assert said["columns"][1]["categories"] == ["(missing)", "private", "state"]
    assert said["classes"] == ["poor", "rich"]
    # What a client without this package does.
    places = {c: float(i) for i, c in enumerate(said["columns"][1]["categories"])}
    x = np.column_stack([X["work"].map(places) if c == "work" else X[c].astype(float) for c in X.columns])
    probabilities, z = session.run(["probabilities", "z"], {"x": x})
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(z, model.transform(X), atol=1e-5)


def test_numbers_as_they_are_and_several_outputs() -> None:
    rng = np.random.default_rng(0)
    X, c = rng.normal(size=(60, 3)), rng.integers(2, size=60)
    model = MIDebiasRegressor(preprocess=False, epochs=1, random_state=0).fit(X, X[:, :2], sensitive_features=c)
    served = make_servable(model)
    np.testing.assert_allclose(served(torch.from_numpy(X))[0].detach().numpy(), model.predict(X), atol=1e-10)
    with pytest.raises(InputError, match="shape"):
        served.encode(X[:, :2])


def test_numbers_too_large_to_be_standardised_stay_finite() -> None:
    column = {"name": "x", "kind": "number", "mean": 0.0, "scale": 1e-3, "indicator": False}
    with seeded(0):
        served = ServedTable(
            TabularNetwork(nn.Identity(), 1, 1).double(), {"task": "representation", "columns": [column]}
        )
    (z,) = served(torch.tensor([[1e308], [-1e308]], dtype=torch.float64))
    preprocessor = TablePreprocessor()
    preprocessor.entries = [column]
    np.testing.assert_allclose(z.numpy(), preprocessor.transform([read_column([1e308, -1e308], "x")]))


# -- run folders ---------------------------------------------------------------------------------------------


def run_folder(folder: Path, model: nn.Module, config: str) -> Path:
    """As `midebias train` leaves it; test_cli loads real ones."""
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.yaml").write_text(f"command: train\n{config}")
    return folder


def network(kind: type[DigitClassifier] | type[GlobalPoolClassifier]) -> DigitClassifier | GlobalPoolClassifier:
    with seeded(0):
        return kind().eval()


def test_a_run_on_images_is_exported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = network(DigitClassifier)
    folder = run_folder(tmp_path / "run", model, "method: mib\nnetwork: paper\n")
    assert run(["export", str(folder)]) == 0
    assert "logits" in capfd.readouterr().out
    x = torch.rand(3, 3, 28, 28, generator=generator(0))
    np.testing.assert_allclose(onnx_outputs(folder / "model.onnx", x)[0], model(x).detach().numpy(), atol=1e-5)
    assert run(["export", str(folder)]) == 2  # never overwritten unasked
    assert "--overwrite" in capfd.readouterr().err


@pytest.mark.skipif(TORCH < (2, 13), reason="an older torch.export does not let these sizes vary")
def test_gray_is_part_of_its_model_and_other_sizes_are_taken(tmp_path: Path) -> None:
    model = network(GlobalPoolClassifier)
    served = ServedModel(model, model.head, torch.zeros(2, 3, 32, 32), gray=True)
    folder = run_folder(tmp_path / "run", model, "method: gray\nnetwork: lnl\n")
    x = torch.rand(2, 3, 40, 24, generator=generator(0))
    read = load_run(folder)
    assert torch.equal(read(x)[0], served(x)[0])
    assert not torch.equal(read(x)[0], model(x))
    export_model(read, tmp_path / "model.pt2")
    np.testing.assert_allclose(torch_outputs(tmp_path / "model.pt2", x)[0], read(x)[0].detach().numpy(), atol=1e-5)


def test_a_run_on_a_table_is_exported(tmp_path: Path) -> None:
    X, y, sex = table()
    path = tmp_path / "people.csv"
    X.assign(sex=sex, y=y).to_csv(path, index=False)
    runs = tmp_path / "runs"
    options = ["--label", "y", "--attribute", "sex", "--epochs", "1", "--output-dir", str(runs)]
    assert run(["train", str(path), *options]) == 0
    (folder,) = runs.iterdir()
    assert run(["export", str(folder), "--output", str(tmp_path / "people.pt2")]) == 0
    tested = pd.read_csv(folder / "predictions.csv")
    served = load_run(folder)
    assert isinstance(served, ServedTable)
    x = served.encode(tested)
    probabilities, _ = torch_outputs(tmp_path / "people.pt2", torch.from_numpy(x))
    decided = np.array(served.description["classes"])[probabilities.argmax(axis=1)]
    assert decided.tolist() == tested["prediction"].tolist()


# -- what cannot be used -------------------------------------------------------------------------------------


@seeded_modules
def test_models_that_cannot_be_served_are_named(tmp_path: Path) -> None:
    class OneSize(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, 4)

    example, path = torch.zeros(2, 4), tmp_path / "model.pt2"
    cases: list[tuple[Any, Any, str]] = [
        ((OneSize(), nn.Linear(4, 2)), example, "batches of any size"),
        ((nn.Linear(5, 4), nn.Linear(4, 2)), example, "cannot encode example"),
        ((nn.Linear(4, 4), nn.Linear(4, 2)), None, "example"),
        (nn.Linear(4, 2), example, "model must be"),
        ("model.onnx", example, "model must be"),
        (MIDebiasClassifier(), None, "fitted"),
    ]
    for model, given, said in cases:
        with pytest.raises(InputError, match=said):
            export_model(model, path, example=given)
    with pytest.raises(InputError, match="format"):
        export_model((nn.Linear(4, 4), nn.Linear(4, 2)), tmp_path / "model.pkl", example=example)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", ["no folder", "empty", "truncated", "pickle", "other weights", "config", "method", "table"]
)
def test_damaged_run_folders_are_named(tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder, model = tmp_path / "run", network(GlobalPoolClassifier)
    if damage != "no folder":
        folder.mkdir()
        (folder / "config.yaml").write_text("command: train\nmethod: plain\nnetwork: lnl\n")
    weights = folder / "model.safetensors"
    if damage not in ("no folder", "empty"):
        save_file(model.state_dict(), weights)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "pickle":
        torch.save(model.state_dict(), weights)  # a pickle, which must not be read under a name that promises none
    elif damage == "other weights":
        save_file(network(DigitClassifier).state_dict(), weights)
    elif damage == "config":
        (folder / "config.yaml").write_text("network: [paper]\n")
    elif damage == "method":
        (folder / "config.yaml").write_text("- network\n")
    elif damage == "table":
        (folder / "preprocessing.json").write_text('{"task": "classification", "columns": [{"kind": "raw"}]}')
    with pytest.raises(DataError, match="run"):
        load_run(folder)
    before = sorted(folder.iterdir()) if folder.exists() else None
    assert run(["export", str(folder)]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert before == (sorted(folder.iterdir()) if folder.exists() else None)


def test_serving_imports_onnx_only_to_write_it() -> None:
    code = (
        "import sys, torch\nfrom midebias.serving import make_servable\n"
        "make_servable((torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)), example=torch.zeros(2, 2))\n"
        "print([m for m in ('onnx', 'onnxscript', 'onnxruntime', 'sklearn', 'lightning') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@seeded_modules
def test_without_the_extra_its_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'midebias\[export\]'"):
        export_model((nn.Linear(4, 4), nn.Linear(4, 2)), tmp_path / "model.onnx", example=torch.zeros(2, 4))


def test_nan_is_no_small_difference(tmp_path: Path) -> None:
    class Waves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sin()

    with seeded(0), torch.no_grad():
        head = nn.Linear(3, 2)
        head.weight[:, ::2] = float("inf")
        head.weight[:, 1] = -float("inf")
    with pytest.raises(InputError, match="or NaN"):
        export_model((Waves(), head), tmp_path / "model.pt2", example=torch.ones(2, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("empty", "suffix"), [(np.nan, "onnx"), (None, "pt2"), (pd.NA, "pt2")])
def test_a_column_that_fit_has_not_seen_a_value_of(empty: Any, suffix: str, tmp_path: Path) -> None:
    X, y, sex = table()
    model = MIDebiasClassifier(epochs=5, random_state=0).fit(X.assign(empty=empty), y, sensitive_features=sex)
    assert export_model(model, tmp_path / f"model.{suffix}").largest_difference < 1e-10
    served, later = make_servable(model), X.assign(empty=np.arange(len(X)) - 50.0)
    x = torch.from_numpy(served.encode(later))
    found = onnx_outputs(tmp_path / "model.onnx", x) if suffix == "onnx" else torch_outputs(tmp_path / "model.pt2", x)
    np.testing.assert_allclose(found[0], model.predict_proba(later), atol=1e-10)


def test_an_export_is_compared_with_what_the_estimator_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, sex = table()
    for kind, target in ((MIDebiasClassifier, y), (MIDebiasRegressor, X["age"]), (MIDebiasTransformer, None)):
        model = kind(epochs=1, random_state=0, criterion="independence").fit(X, target, sensitive_features=sex)
        served = make_servable(model)
        x = served.draw_inputs(50, generator(0))
        again = torch.from_numpy(served.encode(pd.DataFrame({c.name: c.values for c in served.decode(x)})))
        assert all(map(torch.equal, served(x), served(again)))
        export_model(model, tmp_path / "model.pt2")
        outputs = model.compute_outputs(served.decode(x[:7]))
        monkeypatch.setattr(
            model, "compute_outputs", lambda columns, o=outputs: tuple(v[: len(columns[0].values)] for v in o)
        )
        with pytest.raises(InputError, match="model computes other values"):
            export_model(model, tmp_path / "model.pt2")
