from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command

from benchmarks.tables import fill_tables
from midebias.cli import app
from midebias.errors import DataError
from midebias.experiments.own_images import load_own_images

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@each_page
def test_the_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill_tables(text, ROOT) == text, "run: python -m benchmarks.tables"


def test_there_are_tables() -> None:
    markers = [re.findall(r"<!-- results/", page.read_text(encoding="utf-8")) for page in PAGES]
    assert len(markers[0]) >= 1
    assert sum(map(len, markers)) >= 10


def test_the_table_of_the_readme_is_narrow() -> None:
    table = re.search(r"<!-- results/.*?<!-- end -->", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    assert {line.count("|") - 1 for line in table[0].splitlines() if line.startswith("|")} == {4}


def test_a_marker_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results/none\.json"):
        fill_tables("<!-- results/none.json -->\n<!-- end -->", tmp_path)


def test_summaries_are_means_of_their_rows() -> None:
    every = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "results").glob("*.json")]
    documents = [document for document in every if "summary" in document and "table" not in document]
    assert len(documents) > 5
    for document in documents:
        for entry in document["summary"]:
            same = [r for r in document["rows"] if all(r[k] == entry[k] for k in ("dataset", "setting", "method"))]
            assert len(same) == entry["seeds"]
            mean = sum(r["test_accuracy"] for r in same) / len(same)
            assert mean == pytest.approx(entry["test_accuracy"])


def test_results_hold_what_tables_are_made_from_and_little_else() -> None:
    files = [path for path in (ROOT / "results").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json"}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [path.name for path in files if f"results/{path.name}" not in text] == []


def read_commands(page: Path) -> list[list[str]]:
    """Return the words of each `midebias` command that a page shows, with what goes on after a backslash."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = "".join(re.findall(r"^```(?:yaml)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^(?:- run: )?(?:\.venv/bin/)?midebias (.+)", blocks, re.MULTILINE)
    lines += re.findall(r"`midebias ([a-z][^`]*)`", text)
    return [shlex.split(line, comments=True) for line in lines]


@each_page
def test_commands_and_options_that_are_shown_exist(page: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for verb, *words in read_commands(page):
        assert verb in commands, verb
        known = {name for parameter in commands[verb].params for name in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


def test_commands_are_shown() -> None:
    assert {"train", "compare", "audit", "erase", "export", "sweep"} <= {
        verb for page in PAGES for verb, *_ in read_commands(page)
    }


WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.usefixtures("small_maps")
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    state = torch.get_rng_state()
    names: dict[str, object] = {"__name__": "page"}
    try:
        for block in blocks:
            exec(compile(block, page.name, "exec"), names)
    finally:
        torch.set_rng_state(state)  # the reader's code draws from the global generator
    if "loss" in names:
        assert torch.isfinite(names["loss"])  # type: ignore[call-overload]
    if page.name == "README.md":  # it prints what it says
        shown = re.search(r"```\n(weight 0: .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        assert shown is not None
        printed = [float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out)]
        assert printed == pytest.approx([float(number) for number in re.findall(r"\d+\.\d+", shown[1])], abs=0.006)
    for file in tmp_path.glob("*.npz"):  # which the reader goes on to train on
        data = load_own_images(file.name, 0)
        assert data.problem.n_classes >= 2
        assert min(len(data.train), len(data.test)) >= 100


@each_page
def test_linked_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        path = page.parent / target
        if path.parent.name == "gallery":  # its pages are made of the examples
            path = ROOT / "docs" / "examples" / {"index": "GALLERY_HEADER.rst"}.get(path.name, f"{path.name}.py")
        assert target.startswith("http") or path.is_file(), target


@each_page
def test_sections_that_are_linked_exist(page: Path) -> None:
    for target, section in re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        titles = [re.sub(r"[^\w -]", "", title.lower()) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
        assert section in [title.replace(" ", "-") for title in titles], f"{target}#{section}"


def test_the_reference_has_every_public_package() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    documented = {name.split(".")[0] for name in re.findall(r"automodule:: midebias\.([\w.]+)", pages)}
    package = ROOT / "src" / "midebias"
    packages = {path.parent.name for path in package.glob("*/__init__.py") if "__all__" in path.read_text()}
    inner = {"cli", "experiments", "tabular"}  # behind the command line and the scikit-learn estimators
    assert documented >= packages - inner | {"attributes", "errors"}
