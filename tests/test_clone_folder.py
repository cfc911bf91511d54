"""The suite passes wherever the repository lies and whatever its folder is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import sklearn

from .fuzz.origin import belongs_to

ROOT = Path(__file__).parent.parent
_FUZZED = "test_fuzz.py::test_bad_input_has_a_clear_error_or_a_right_answer"
_TARGETS = ("DebiasModule.forward", "MIDebiasRegressor.fit", "MIDebiasTransformer.fit")  # meet errors of libraries
# What reads files of the repository, or tells by a file's name whose code it is; of it, what takes no time.
PATH_DEPENDENT = (
    *(f"{_FUZZED}[{target}]" for target in _TARGETS),
    "test_fuzz.py::test_the_fuzzer_finds_what_is_wrong",
    "test_fuzz.py::test_an_error_of_ours_is_not_taken_for_a_librarys",
    "test_fuzz.py::test_an_error_of_a_library_is_not_taken_for_ours",
    "test_fuzz.py::test_lines_and_places_are_those_of_midebias_only",
    "test_readme.py::test_the_tables_are_those_of_the_results",
    "test_readme.py::test_summaries_are_means_of_their_rows",
    "test_readme.py::test_linked_files_exist",
    "test_imports.py::test_the_package_itself_imports_nothing",
    "test_imports.py::test_the_oldest_releases_tested_are_those_accepted",
    "test_imports.py::test_what_the_type_checker_is_told_to_ignore_has_a_reason_beside_it",
    "test_documentation.py",
)


def copy_repository(clone: Path) -> None:
    """Copy what is tested; what hides in the root (.git, .venv) stays behind."""
    clone.mkdir(parents=True)
    for name in ("src", "tests", "benchmarks", "docs", "results"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, clone)


def run_python(*arguments: str, paths: Sequence[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders before all others that modules come from."""
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | environment, check=False, timeout=240,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "started_in"),
    [
        ("midebias", "midebias"),  # what git clone makes
        ("torch/nn/sklearn/mein Übungs ordner", "elsewhere"),  # below libraries' names, and not the current folder
    ],
    ids=["midebias", "elsewhere"],
)
def test_the_suite_passes_in_any_folder(name: str, started_in: str, tmp_path: Path) -> None:
    clone, here = tmp_path / name, tmp_path / started_in
    copy_repository(clone)
    here.mkdir(exist_ok=True)
    # An environment of its own would take minutes. With a link to this one, imported modules' files have the names that
    # they have in one that `make` sets up: they lie below the clone.
    installed = clone / ".venv" / "lib" / "site-packages"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(Path(sklearn.__file__).parent.parent, target_is_directory=True)
    paths = (clone / "src", installed)
    where = "import importlib.util as u\nfor name in ('midebias', 'sklearn', 'torch'): print(u.find_spec(name).origin)"
    found = run_python("-c", where, paths=paths, cwd=here).stdout.splitlines()
    assert all(Path(file).is_relative_to(clone) for file in found), found
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "-x", "-q", f"--basetemp={tmp_path / 'tmp'}"]
    arguments += [str(clone / "tests" / test) for test in PATH_DEPENDENT]
    done = run_python(*arguments, paths=paths, cwd=here)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("name", ["midebias", "sklearn", "somewhere else"])
def test_a_file_is_told_by_its_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / name
    ours, theirs = ModuleType("midebias"), ModuleType("sklearn")
    ours.__file__ = str(clone / "src" / "midebias" / "__init__.py")
    theirs.__file__ = str(clone / ".venv" / "lib" / "site-packages" / "sklearn" / "__init__.py")
    for package, other in ((ours, theirs), (theirs, ours)):
        file = Path(str(package.__file__)).parent / "below" / "file.py"
        file.parent.mkdir(parents=True)
        assert belongs_to(package, str(file))
        assert not belongs_to(other, str(file))
        assert not belongs_to(package, str(clone / "tests" / "fuzz" / "api.py"))
        monkeypatch.chdir(file.parent)
        assert not belongs_to(package, "<string>")
    (tmp_path / "link").symlink_to(clone, target_is_directory=True)
    assert belongs_to(ours, str(tmp_path / "link" / "src" / "midebias" / "penalty.py"))
