"""Command line of the fuzzer."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import torch

from . import api, commands, files, penalties
from .runner import Defect, Tally, fuzz, try_input

_LOG = logging.getLogger("fuzz")
TARGETS = files.TARGETS | penalties.TARGETS | api.TARGETS | commands.TARGETS


def main() -> int:
    """Fuzz; exit with 1 where defects were found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=600.0, help="in all, or of the one target")
    parser.add_argument("--target", action="append", help="one of: " + ", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, help="of each target, at most")
    parser.add_argument("--only", type=int, help="number of an input to try again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="where the counts go, as JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    chosen = [TARGETS[name] for name in arguments.target or TARGETS]
    if arguments.only is not None:
        result = try_input(chosen[0], arguments.only, arguments.seed)
        _LOG.info("%s", result)
        return int(isinstance(result, Defect))
    rows, failed, started = [], 0, time.monotonic()
    for i, target in enumerate(chosen):
        left = arguments.seconds - (time.monotonic() - started)
        tally: Tally = fuzz(
            target, seconds=max(1.0, left / (len(chosen) - i)), inputs=arguments.inputs, seed=arguments.seed,
            guided=target.corpus is not None,
        )  # fmt: skip
        failed += len(tally.defects)
        for defect in {d.where + d.error[:40]: d for d in tally.defects}.values():
            _LOG.info("DEFECT %s", defect)
        _LOG.info(
            "%-24s %6d inputs: %6d answered, %6d refused (%d messages), %d defects",
            target.name, tally.inputs, tally.answered, tally.refused, len(tally.messages), len(tally.defects),
        )  # fmt: skip
        rows.append(
            {"target": target.name, "inputs": tally.inputs, "answered": tally.answered, "refused": tally.refused,
             "defects": len(tally.defects)}
        )  # fmt: skip
    total = sum(row["inputs"] for row in rows)  # type: ignore[misc]
    _LOG.info("%d inputs, %d defects", total, failed)
    if arguments.output is not None:
        document = {
            "command": "python -m tests.fuzz " + " ".join(sys.argv[1:]),
            "inputs": total,
            "defects": failed,
            "rows": rows,
        }
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
