from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midebias import audit
from midebias.errors import InputError
from midebias.experiments.erasure import HeldOut
from midebias.experiments.report_content import describe_comparison, describe_training
from midebias.reporting.html_report import write_html_report

CHROMIUM = shutil.which("chromium")
NASTY = "</script><img src=x onerror=alert(1)>&\"'"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


def content() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y, sex = rng.integers(0, 2, 300), np.where(rng.random(300) < 0.5, "woman", NASTY)
    z = rng.normal(size=(300, 2)) + (sex == NASTY)[:, None]
    age = rng.normal(40, 10, 300)
    result = audit(z, {"sex": sex, "age": age}, y, predictions=y, probes=["linear", "quadratic"], n_folds=2)
    trace = [{"step": s, "loss": 1 / (s + 1), "mi": [0.5 - 0.1 * s, 0.2], "weights": [1, 1]} for s in range(12)]
    summary = [
        {"method": m, "setting": s, "test_accuracy": a, "test_accuracy_std": 0.01, "mi": 0.3, "probe_accuracy": 0.4,
         "chance": 0.1}
        for s in ("rho=0.99", "rho=0.9") for m, a in (("mib", 0.9), (NASTY, 0.4))
    ]  # fmt: skip
    points = [
        {"label": f"weight {w}", "x": 1 / (1 + w), "x_err": 0.02, "y": 0.1 * w, "y_err": 0.0, "front": w != 2,
         "chosen": w == 1}
        for w in range(4)
    ]  # fmt: skip
    front = {"points": points, "x_label": "leakage, nats", "y_label": "task loss", "rule": "the one"}
    more = {"training": describe_training({"mib": trace}), "comparison": describe_comparison(summary), "front": front}
    erased = HeldOut(np.arange(300), {"sex": sex}, None, {"y": y}, None, {"random_state": 0, "probes": ["linear"]})
    after = z - (sex == NASTY)[:, None] * np.float64(0.9)
    audits = erased.audit(z), erased.audit(after)
    more |= erased.compare(z, after, after, told=erased.audit_useful(z), audits=audits)
    stages = dict(zip(("before", "after"), (a.to_dict() for a in audits), strict=True))
    more |= {"erasure": stages | {"note": NASTY}, "front": front}
    return result.collect_report_content(command="midebias audit 'a b.csv'") | more


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html_report(path, title=f"Audit of {NASTY}", content=content())
    return path


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_one_file_that_asks_for_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 5_000_000
    parser = Elements()
    parser.feed(text)
    assert not [a for _, a in parser.found if a.get("src") or (a.get("href") or "data:")[:5] != "data:"]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    assert {"h1", "h2", "figure", "table", "main"} <= {t for t, _ in parser.found}


def test_text_of_others_is_never_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count("</script>") == 2
    data = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert NASTY in json.loads(data[1])["map"]["colourings"][1]["names"]


def test_only_what_is_given_is_on_the_page(tmp_path: Path) -> None:
    write_html_report(tmp_path / "a.html", title="t", content={"verdict": {"text": "x < y", "status": "note"}})
    text = (tmp_path / "a.html").read_text()
    assert "x &lt; y" in text
    assert "<figure" not in text
    with pytest.raises(InputError, match="5,000,000"):
        write_html_report(tmp_path / "b.html", title="t", content={"command": "x" * 6_000_000})
    assert not (tmp_path / "b.html").exists()


def test_alarms_are_said_where_estimates_die() -> None:
    points = [
        {"step": s, "loss": 9.0 if s == 5 else 1.0, "mi": [-0.1 if s > 1 else 1.0], "weights": []} for s in range(8)
    ]
    (run,) = describe_training({"a": points})
    assert [a["step"] for a in run["alarms"]] == [4, 5]
    assert describe_training({"plain": [p | {"mi": []} for p in points]})[0]["panels"][-1]["name"] == "task loss"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no browser")
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1200, 375])
def test_every_picture_is_drawn_and_switches_work(browser: Any, page: Path, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    tab.on("console", lambda m: said.append(m.text))
    tab.on("pageerror", lambda e: said.append(str(e)))
    tab.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    tab.on("dialog", lambda d: said.append("dialog"))
    tab.goto(page.as_uri())
    for name, mark, least in (
        ("leakage", "probe", 2), ("map", "point", 300), ("groups", "group", 2), ("training", "line", 3),
        ("front", "setting", 4), ("comparison", "method", 2), ("movement", "bar", 40),
    ):  # fmt: skip
        figure = tab.locator(f"#{name}-figure")
        assert figure.locator(f"[data-mark={mark}]").count() >= least, name
        assert figure.locator("svg[role=img]").first.get_attribute("aria-label")
        radios = figure.locator("input[type=radio]")
        for i in range(radios.count()):
            before = figure.locator(".drawing").inner_html()
            if not radios.nth(i).is_checked():
                radios.nth(i).check()
                assert figure.locator(".drawing").inner_html() != before, (name, i)
    tab.locator("#map-figure .key button").first.click()
    assert tab.locator("#map-figure .key button[aria-pressed=true]").count() == 1
    tab.locator("#front-figure summary").click()
    assert tab.locator("#front-figure table").is_visible()
    first = tab.locator("#comparison-figure input").first
    first.check()
    first.press("ArrowRight")
    assert tab.locator("#comparison-figure input").nth(1).is_checked()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []
    tab.close()
