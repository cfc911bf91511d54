"""Measures how many of a seeded sample of mutants of the estimators, marginals and penalty the tests notice.

pip install -e '.[dev,mutation]'
python -m tests.mutation --sample 200 --seed 1 --output results/mutation.json

What to mutate and which tests to run stands in ``[tool.mutmut]`` of ``pyproject.toml``. Tests that train for seconds or
in other processes are left out, so that more mutants survive here than would in ``make test``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

_VERDICTS = {0: "survived", 1: "killed", 3: "killed", 33: "no test", 34: "killed", 36: "timeout", 37: "killed"}


def read_outcomes() -> dict[str, int | None]:
    """Return the exit code of the tests of each mutant that mutmut knows of: None where they were not run."""
    found = dict[str, int | None]()
    for path in sorted(Path("mutants").glob("src/**/*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def run_mutmut(*names: str) -> None:
    """Run these mutants, or make all of them."""
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", "2", *names], check=False)


def main() -> None:
    """Draw a sample of mutants, run the tests of each, and write the outcomes."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    run_mutmut("of no such name")  # makes them all, and which test runs which function; then there is nothing to run
    names = sorted(read_outcomes())
    chosen = sorted(random.Random(arguments.seed).sample(names, min(arguments.sample, len(names))))
    run_mutmut(*chosen)
    ends = read_outcomes()
    verdicts = {name: _VERDICTS.get(ends[name], "not run") for name in chosen}  # type: ignore[arg-type]
    counts = Counter(verdicts.values())
    tested = len(chosen) - counts["no test"] - counts["not run"]
    document = {
        "command": "python -m tests.mutation " + " ".join(sys.argv[1:]),
        "mutants": len(names),
        "sample": len(chosen),
        "counts": dict(counts),
        "score": (counts["killed"] + counts["timeout"]) / len(chosen),
        "score_of_tested": (counts["killed"] + counts["timeout"]) / max(1, tested),
        "not_killed": {name: verdict for name, verdict in verdicts.items() if verdict not in ("killed", "timeout")},
    }
    arguments.output.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
