"""What the package costs somebody who only wants the penalty."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import midebias

ROOT = Path(__file__).parent.parent
_FOR_DEVELOPERS = {"dev", "docs", "mutation"}


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_penalty_needs_torch_and_nothing_else() -> None:
    """So that ``import midebias`` costs what ``import torch`` costs, which no measured time could say as surely."""
    loaded = python(
        "import sys, numpy, torch\n"
        "before = set(sys.modules)\n"
        "import midebias, midebias.estimators, midebias.attributes\n"
        "midebias.MIPenalty; midebias.estimate_mi; midebias.LogitAdjustment\n"
        "print(len(before), *set(sys.modules) - before)"
    )
    torch_and_numpy, *ours = loaded.split()
    packages = {module.split(".")[0] for module in ours} - sys.stdlib_module_names
    assert packages - {"numpy"} == {"midebias"}
    assert len(ours) < 0.1 * int(torch_and_numpy)


def test_the_package_itself_imports_nothing() -> None:
    assert python("import sys, midebias; print('torch' in sys.modules)").strip() == "False"


def test_public_names_can_be_had() -> None:
    assert set(midebias.__all__) <= set(dir(midebias))
    for name in set(midebias.__all__) - {"__version__"}:
        assert getattr(midebias, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        midebias.nothing  # noqa: B018


def test_without_the_extra_the_command_names_its_install_line() -> None:
    code = "import sys\nsys.modules['typer'] = None\nfrom midebias.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'midebias[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_starts_without_lightning() -> None:
    """It takes seconds to import, and only commands that train images need it."""
    assert python("import sys, midebias.cli; print('lightning' in sys.modules)").strip() == "False"


def test_the_extra_all_is_all_that_users_can_use() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert set(everything.removeprefix("midebias[").removesuffix("]").split(",")) == extras.keys() - _FOR_DEVELOPERS - {
        "vision"
    }


def test_continuous_integration_runs_each_python_that_is_accepted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={pythons[0]}"
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == ["make test", "make test-lowest"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command.removeprefix("make ") for command in commands} <= set(targets)


def test_the_oldest_releases_tested_are_those_accepted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in _FOR_DEVELOPERS}
    accepted = dict[str, str]()
    for requirement in [*project["dependencies"], *(r for group in extras.values() for r in group)]:
        if not requirement.startswith("midebias["):
            name, bound = requirement.split(">=")
            assert accepted.setdefault(name, bound) == bound, f"{name} has two lower bounds"
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested.pop("polars")  # for tests only
    assert tested.keys() == accepted.keys()
    for name, bound in accepted.items():
        assert re.fullmatch(re.escape(bound) + r"(\.0)*", tested[name]), name


def test_what_the_type_checker_is_told_to_ignore_has_a_reason_beside_it() -> None:
    source = Path(midebias.__file__).parent
    lines = [
        (p.name, line) for p in source.rglob("*.py") for line in p.read_text().splitlines() if "type: ignore" in line
    ]
    assert lines
    assert not [f"{name}: {line}" for name, line in lines if not re.search(r"# type: ignore\[[\w, -]+\]  # \w", line)]
