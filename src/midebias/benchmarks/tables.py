"""Tables of the README and of ``docs/``, written from ``results/``: ``python -m midebias.benchmarks.tables``.

A table stands between ``<!-- results/NAME.json -->`` and ``<!-- end -->``; everything between is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ..protocols import DataError
from .comparison import comparison_table
from .one_line import one_line_markdown

__all__ = ["fill", "markdown_table"]

_NAMES = {
    "plain": "plain training",
    "ceiling": "plain training without the bias: the ceiling",
    "mib": "**midebias**",
    "mib:adjust=0:rebalance=0": "penalty alone",
    "mib:rebalance=0": "penalty and logit adjustment",
    "mib:mi_weight=0": "logit adjustment and rebalancing, no penalty",
    "reference": "reference recipe, some steps",
    "balanced": "group-balanced sampling",
    "group_dro": "group DRO",
    "grl": "gradient reversal",
    "end": "EnD",
    "hsic": "HSIC",
    "club": "CLUB",
    "gray": "Gray",
    "blind_eye": "BlindEye",
    "lnl": "LNL",
}
_BLOCK = re.compile(r"(<!-- (results/[\w./-]+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown_table(document: Mapping[str, Any]) -> str:
    """Markdown of a ``results.json``: of the cost, or of a comparison (one setting: with leakage; several: without)."""
    if "recipe" in document:
        return _cost(document)
    if "sizes" in document:
        return _large_networks(document)
    if "growth" in document:
        return _speed(document)
    if "within_small" in document["summary"]:
        return _estimates(document)
    if "rejected" in document["summary"][0]:
        return _rejections(document)
    if document.get("table") == "fairness":
        from .fairness import fairness_markdown  # needs the benchmark extra

        return fairness_markdown(document)
    if document.get("table") == "repeated folds":
        from .repeated_folds import repeated_folds_markdown

        return repeated_folds_markdown(document)
    if document.get("table") == "fit time":
        from .fit_time import fit_time_markdown

        return fit_time_markdown(document)
    if document.get("table") == "one line":
        return one_line_markdown(document)
    if "called_leaking" in document["summary"][0]:
        return _planted(document)
    if document.get("table") == "regret":
        return _regret(document)
    if document.get("table") == "audit cost":
        return _audit_cost(document)
    settings = {entry["setting"] for entry in document["summary"]}
    held_out = "reweighted_accuracy" in document["summary"][0]
    if len(settings) == 1 and not held_out:
        return _one_setting(document) + "\n" + _made_by(document, published=False)
    return _accuracies(document) + "\n" + _made_by(document, published=True)


def _one_setting(document: Mapping[str, Any]) -> str:
    lines = [
        "| method | train accuracy | accuracy, unbiased test | I(Z;C) ≥, nats | probe reads c | chance |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for entry in document["summary"]:
        test = f"{entry['test_accuracy']:.3f}"
        if entry["seeds"] > 1:
            test += f" ± {entry['test_accuracy_std']:.3f} (lowest {entry['test_accuracy_min']:.3f})"
        lines.append(
            f"| {_name(entry['method'])} | {entry['train_accuracy']:.3f} | "
            f"{test} | "
            f"{entry['mi']:.2f} | {entry['probe_accuracy']:.2f} | {entry['chance']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _accuracies(document: Mapping[str, Any]) -> str:
    header, rows = comparison_table(document)
    titles = [h.replace("variance=", "σ² = ").replace("rho=", "ρ = ") for h in header]
    # Lines that would be mostly empty are told below the table.
    sparse = [row for row in rows if 2 * sum(cell == "" for cell in row[1:]) > len(row) - 1]
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join([_name(row[0]), *row[1:]]) + " |" for row in rows if row not in sparse]
    said = []
    for i, title in enumerate(titles[1:], start=1):
        cells = [f"{_name(row[0])} {row[i]}" for row in sparse if row[i]]
        if cells:
            said.append(f"{title}: {', '.join(cells)}")
    if said:
        lines += ["", f"Run at some settings only. {'. '.join(said)}."]
    return "\n".join(lines) + "\n"


def _made_by(document: Mapping[str, Any], *, published: bool) -> str:
    runs: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for entry in document["summary"]:
        mine = {r["seed"] for r in document["rows"] if all(r[k] == entry[k] for k in ("method", "setting", "network"))}
        by_seeds = runs.setdefault(_name(entry["method"]).strip("*"), {})
        by_seeds.setdefault(tuple(sorted(mine)), []).append(entry["setting"].split("=")[-1])
    # Methods that were run alike are said together; settings are named where a method's differ.
    alike: dict[str, list[str]] = {}
    for name, by_seeds in runs.items():
        parts = [
            ", ".join(map(str, seeds)) + (f" at {', '.join(settings)}" if len(by_seeds) > 1 else "")
            for seeds, settings in by_seeds.items()
        ]
        alike.setdefault("; ".join(parts), []).append(name)
    said = ". ".join(f"Seeds of {', '.join(names)}: {seeds}" for seeds, names in alike.items())
    epochs = max(entry["epochs"] for entry in document["summary"])
    sources = [f" Published: {p['source']}." for p in document.get("published", {}).values() if published]
    return (
        f"{epochs:g} epochs, mean ± standard deviation over seeds, no ± where there is one. {said}.{''.join(sources)} "
        f"`{document['command']}`\n"
    )


def _cost(document: Mapping[str, Any]) -> str:
    recipe = document["recipe"]
    lines = [
        f"- {_name(row['method'])}: {row['seconds_per_epoch']:.0f} s an epoch, "
        f"**{row['over_plain']:.2f}** times plain training"
        for row in document["rows"]
        if row["method"] != "plain"
    ]
    lines.append(
        f"- {recipe['target_test_accuracy']:.4f} on the unbiased test, LNL's published figure at σ² = 0.020, is passed "
        f"after {recipe['our_epochs']:.2f} epochs, {recipe['our_seconds']:.0f} s. The reference recipe "
        f"(K = {recipe['reference_critic_steps']}) needs {recipe['reference_over_ours_per_epoch']:.0f} times as long "
        "for an epoch"
    )
    seeds = ", ".join(str(s) for s in document["seed"])
    threads = document["versions"]["threads"]
    lines += ["", f"In turns of a few steps, in one run, {threads} threads, seed {seeds}: `{document['command']}`"]
    return "\n".join(lines) + "\n"


def _large_networks(document: Mapping[str, Any]) -> str:
    lines = [
        "| estimator | representations | seconds of a step | of these the penalty |",
        "| --- | --- | ---: | ---: |",
    ]
    lines += [
        f"| `{r['estimator']}` | {r['representations']} | {r['step_cpu_seconds']:.1f} | {100 * r['share']:.1f}% |"
        for r in document["rows"]
    ]
    lines += [
        "",
        "| estimator | columns of z | values of c | milliseconds of a call | bank |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| `{s['estimator']}` | {s['dim']:,} | {s['values']:,} | {1e3 * s['cpu_seconds']:.0f} "
        f"| {s['bank_bytes'] / 2**20:.1f} MiB |"
        for s in document["sizes"]
    ]
    first, steps = document["rows"][0], document["rows"][0]["steps"]
    lines += [
        "",
        f"Above: batches of {first['batch_size']} at {first['pixels']} pixels, K = {first['critic_steps']}, "
        f"12 values of c. Below: batches of {document['sizes'][0]['batch_size']}, K = 10. "
        f"Processor time of one thread, medians of {steps} and 5 repetitions, seed 0: `{document['command']}`",
    ]
    return "\n".join(lines) + "\n"


_PLANTED = {
    "one class": "linear, in one class of two only",
    "3 of 512": "linear, in 3 dimensions",
    "sinusoidal": "sign of a sine of one column",
    "sign pattern of 3": "product of the signs of 3 columns",
    "rotated product": "sign of a product of two directions",
    "variance": "one column's variance",
    "continuous": "linear, of a number",
    "clean": "nothing",
    "clean, with y": "nothing, audited within classes too",
}


def _planted(document: Mapping[str, Any]) -> str:
    lines = [
        "| planted | nats | rows | dimensions | called leaking | leakage found, nats |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for e in document["summary"]:
        called = f"{round(e['called_leaking'] * e['draws'])} of {e['draws']}"
        found = f"{e['leakage']:.4f} ± {e['leakage_std']:.4f}"
        kind = _PLANTED.get(e["kind"], e["kind"])
        lines.append(f"| {kind} | {e['nats']:g} | {e['n']:,} | {e['dim']} | {called} | {found} |")
    seeds = document["seed"]
    return "\n".join(lines) + (
        f"\n\nMean ± standard deviation over seeds {seeds[0]} to {seeds[-1]}. `{document['command']}`\n"
    )


def _regret(document: Mapping[str, Any]) -> str:
    rows, summary = document["rows"], document["summary"]
    cells = list(dict.fromkeys((r["dataset"], r["setting"], r["seed"]) for r in rows))
    weights = sorted({r["weight"] for r in rows})
    measured = {(r["dataset"], r["setting"], r["seed"], r["weight"]): r for r in rows}
    chosen = {(e["dataset"], e["setting"], e["seed"]): e for e in summary if e["rule"] == "midebias sweep"}
    lines = [
        "| data set | setting | seed | " + " | ".join(f"weight {w:g}" for w in weights) + " | chosen | regret |",
        "| --- | ---: | ---: | " + " ---: |" * (len(weights) + 2),
    ]
    for cell in cells:
        found = [measured.get((*cell, w)) for w in weights]
        said = ["–" if r is None else f"{r['unbiased_accuracy']:.3f} ({r['exchanged_accuracy']:.3f})" for r in found]
        e = chosen[cell]
        mark = "*" if e["development"] else ""
        lines.append(
            f"| {cell[0]} | {cell[1]:g}{mark} | {cell[2]} | " + " | ".join(said)
            + f" | {e['chosen']:g} | {e['regret']:.3f} |"
        )  # fmt: skip
    lines += [
        "", "| rule | settings | mean regret | standard deviation | largest | of those, unseen | their mean regret |",
        "| --- |" + " ---: |" * 6,
    ]  # fmt: skip
    for rule in dict.fromkeys(e["rule"] for e in summary):
        mine = [e for e in summary if e["rule"] == rule]
        every, unseen = [e["regret"] for e in mine], [e["regret"] for e in mine if not e["development"]]
        spread, fresh = f"{stdev(every):.3f}" if len(every) > 1 else "–", f"{mean(unseen):.3f}" if unseen else "–"
        lines.append(
            f"| {rule} | {len(every)} | {mean(every):.3f} | {spread} | {max(every):.3f} | {len(unseen)} | {fresh} |"
        )
    return "\n".join(lines) + f"\n\n`{document['command']}`\n"


def _audit_cost(document: Mapping[str, Any]) -> str:
    lines = [
        "| rows | dimensions | attributes | within classes, fairness metrics | processor seconds | peak memory, GB |",
        "| ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    lines += [
        f"| {r['rows']:,} | {r['dim']} | {r['attributes']} | {'yes' if r['label'] else 'no'} | "
        f"{r['cpu_seconds']:.0f} | {r['peak_memory_mb'] / 1024:.1f} |"
        for r in document["rows"]
    ]
    threads = document["versions"]["threads"]
    return "\n".join(lines) + f"\n\n{threads} thread, seed {document['seed']}. `{document['command']}`\n"


def _speed(document: Mapping[str, Any]) -> str:
    rows = document["rows"]
    public = [r for r in rows if r["kind"] == "public"]
    lines = []
    if public:
        lines += ["| estimator | beside | ours, ms | theirs, ms | ratio |", "| --- | --- | ---: | ---: | ---: |"]
        lines += [
            f"| {r['estimator']} | {r['public']} | {1e3 * r['ours']:.2f} | {1e3 * r['theirs']:.2f} | {r['ratio']:.2f} |"
            for r in public
        ]
        lines.append("")
    steps = [r for r in rows if r["kind"] == "steps"]
    ratios = ", ".join(f"{r['estimator']} {r['ratio']:.2f}" for r in steps)
    lines.append(f"{steps[0]['steps']} steps as one call cost, beside as many calls: {ratios}.\n")
    if document["growth"]:
        batches = [r["batch"] for r in rows if r["kind"] == "batch"]
        growth = ", ".join(f"{name} {value:.2f}" for name, value in document["growth"].items())
        lines.append(f"Seconds grow with the batch, from 4,096 to {max(batches):,} pairs, to the power of: {growth}.\n")
    lines.append(
        f"Medians of processor seconds on one thread, in turns, z and c of 64 columns: `{document['command']}`"
    )
    return "\n".join(lines) + "\n"


def _estimates(document: Mapping[str, Any]) -> str:
    said = {
        "within_small": "within max(0.05 nats, 10%) of the truth, at most five columns a side",
        "within_all": "within max(0.1 nats, 15%) of the truth, all",
        "covered": "95% interval covers the truth, normal and discrete families",
    }
    lines = ["| runs | hits | of | share |", "| --- | ---: | ---: | ---: |"]
    for key, text in said.items():
        entry = document["summary"][key]
        lines.append(f"| {text} | {entry['hits']} | {entry['of']} | {entry['share']:.2f} |")
    ours = [r for r in document["rows"] if r["estimator"] == "midebias"]
    far = [r for r in ours if abs(r["value"] - r["truth"]) > max(0.05, 0.1 * r["truth"])]
    misses = "; ".join(f"`{r['task']}` {r['value']:.2f} for {r['truth']:.2f} (seed {r['seed']})" for r in far)
    seeds: dict[tuple[int, ...], int] = {}
    for task in dict.fromkeys(r["task"] for r in ours):
        mine = tuple(sorted(r["seed"] for r in ours if r["task"] == task))
        seeds[mine] = seeds.get(mine, 0) + 1
    runs = "; ".join(f"{n} tasks with seeds {', '.join(map(str, mine))}" for mine, n in seeds.items())
    return (
        "\n".join(lines)
        + f"\n\nFarther off than max(0.05 nats, 10%): {misses or 'none'}.\n\n"
        + f"{document['n']:,} pairs, default settings; {runs}. `{document['command']}`\n"
    )


def _rejections(document: Mapping[str, Any]) -> str:
    lines = ["| independent pairs | draws | p-value at most 0.05 |", "| --- | ---: | ---: |"]
    lines += [f"| {e['kind']} | {e['draws']} | {e['rejected']:.3f} |" for e in document["summary"]]
    seeds = document["seed"]
    return "\n".join(lines) + f"\n\nSeeds {seeds[0]} to {seeds[-1]}: `{document['command']}`\n"


def _name(method: str) -> str:
    return _NAMES.get(method, method)


def fill(text: str, root: Path) -> str:
    """``text`` with every table written anew from the file its marker names.

    Raises
    ------
    DataError
        When a marker names a file that is not there.
    """

    def table(match: re.Match[str]) -> str:
        path = root / match[2]
        if not path.is_file():
            raise DataError(f"{match[2]} does not exist")
        return match[1] + markdown_table(json.loads(path.read_text(encoding="utf-8"))) + match[3]

    return _BLOCK.sub(table, text)


def main() -> None:
    """Rewrite the tables of the README and of ``docs/`` in the current folder."""
    readme = Path("README.md")
    if not readme.is_file():
        sys.exit("README.md is not here: run this at the root of the repository")
    for page in (readme, *Path("docs").glob("*.md")):
        page.write_text(fill(page.read_text(encoding="utf-8"), Path()), encoding="utf-8")


if __name__ == "__main__":
    main()
