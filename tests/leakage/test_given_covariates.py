from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from midebias import audit
from midebias.cli import run
from midebias.errors import InputError
from midebias.leakage import AuditResult

LINEAR = {"probes": ["linear"]}


def scans(n: int, seed: int, leak: float = 0.0) -> tuple[Any, Any, Any]:
    """z follows age, and with a leak the scanner; which scanner it is follows age."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, size=n)
    x = (age - 50) / 10
    scanner = (rng.random(n) < 1 / (1 + np.exp(-2 * np.sin(1.5 * x) - x))).astype(int)
    z = np.stack([np.sin(1.5 * x), x, x**2, rng.normal(size=n)], axis=1) + 0.3 * rng.normal(size=(n, 4))
    return z + leak * scanner[:, None], scanner, age


def find(result: AuditResult, condition: str) -> Any:
    return next(s for s in result.summary if s.condition == condition)


def test_what_age_tells_of_the_scanner_is_no_leak_beyond_age() -> None:
    z, scanner, age = scans(1500, 0)
    result = audit(z, {"scanner": scanner}, condition_on={"age": age}, probes=["linear", "boosted trees"])
    assert find(result, "overall").leakage > 0.2
    given = find(result, "given age")
    assert not given.leaks
    assert given.high < 0.01
    assert result.settings["condition_on"] == ["age"]


def test_what_is_told_beyond_age_is_found() -> None:
    z, scanner, age = scans(1500, 1, leak=0.3)
    result = audit(z, {"scanner": scanner}, condition_on={"age": age}, **LINEAR)  # type: ignore[arg-type]
    given = find(result, "given age")
    assert given.leaks
    assert given.leakage > 0.03
    assert given.balanced_accuracy > 0.55
    assert result.decide(0.02).exit_status == 1


def test_a_verdict_names_the_covariates() -> None:
    rng = np.random.default_rng(0)
    age, scanner = rng.normal(size=800), rng.integers(2, size=800)
    z = np.column_stack([age + 2 * (2 * scanner - 1) * np.abs(rng.normal(size=800)), age])
    result = audit(z, {"scanner": scanner}, condition_on={"age": age}, **LINEAR)  # type: ignore[arg-type]
    assert find(result, "given age").leakage > find(result, "overall").leakage - 0.1
    assert "given age" in str(result)


def test_clean_representations_are_rarely_called_leaking() -> None:
    """Of 8 draws one may be."""
    found = []
    for seed in range(8):
        z, scanner, age = scans(300, seed)
        result = audit(z, {"scanner": scanner}, condition_on={"age": age}, **LINEAR)  # type: ignore[arg-type]
        found.append(find(result, "given age").leaks)
    assert sum(found) <= 1


def test_categories_beside_quantities_and_rows_that_miss_one() -> None:
    z, scanner, age = scans(900, 2)
    rng = np.random.default_rng(2)
    sex = rng.choice(["f", "m"], size=900)
    z = z + 2.0 * (sex == "m")[:, None] * scanner[:, None]
    age[:100] = np.nan
    frame = {"age": age, "sex": np.where(sex == "m", "m", "f")}
    result = audit(z, {"scanner": scanner}, condition_on=frame, **LINEAR)  # type: ignore[arg-type]
    given = find(result, "given age, sex")
    assert given.leaks
    (finding,) = [f for f in result.findings if f.condition == "given age, sex"]
    assert finding.n == 800
    assert any("missing in 100 rows" in w for w in result.warnings)


def test_bad_covariates_are_named() -> None:
    z, scanner, age = scans(200, 0)
    with pytest.raises(InputError, match="age has 7 rows, z has 200"):
        audit(z, scanner, condition_on={"age": age[:7]}, **LINEAR)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'age' has one value only"):
        audit(z, scanner, condition_on={"age": np.ones(200)}, **LINEAR)  # type: ignore[arg-type]


def test_the_command_line_names_covariates_by_commas(tmp_path: Path) -> None:
    z, scanner, age = scans(400, 3, leak=0.5)
    table = pd.DataFrame(z, columns=["z0", "z1", "z2", "z3"])
    table.assign(age=age, site=np.arange(400) % 2, scanner=scanner).to_parquet(tmp_path / "e.parquet")
    options = ["--attribute", "scanner", "--given", "age,site", "--probes", "linear", "--max-leakage", "0.01"]
    status = run(["audit", str(tmp_path / "e.parquet"), *options, "--output-dir", str(tmp_path / "runs")])
    record = json.loads((tmp_path / "runs" / "audit-001" / "results.json").read_text(encoding="utf-8"))
    assert status == record["exit_status"] == 1
    assert record["settings"]["dim"] == 4  # covariates are no part of z
    assert [s["condition"] for s in record["summary"]] == ["overall", "given age, site"]
    assert "given age, site" in (tmp_path / "runs" / "audit-001" / "report.html").read_text(encoding="utf-8")
