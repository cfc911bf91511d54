"""``midebias demo``: plain training, the reference recipe and ours, side by side on Colored MNIST."""

import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

from ..experiments.digit_images import load_colored_mnist
from ..experiments.image_data import ImageData
from ..experiments.image_outcome import Outcome
from ..experiments.image_run import run_method
from ..experiments.run_folder import new_run_folder, results_document, write_json, write_metrics
from ..methods import METHODS
from ..reporting.poster import draw_poster
from .console import bars, console, show_table
from .options import Config, OutputDir

# images, epochs of plain, epochs of ours, steps of the reference recipe, epochs between evaluations
_QUICK = (20_000, 4, 6, 48)
_FULL = (60_000, 5, 5, 250)


def demo(
    full: Annotated[bool, typer.Option("--full", help="All 60,000 images; takes several times as long.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the colours, the weights and the order.")] = 0,
    variance: Annotated[float, typer.Option(help="Variance of the colour jitter.")] = 0.020,
    config: Config = None,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Show debiasing at work on real digits, offline, in under five minutes on two CPU cores.

    In training a digit's colour gives its label away; in the test it says nothing. Three methods learn from
    the same biased images and are tested in other colours.

    Example: midebias demo --seed 1
    """
    started = time.perf_counter()
    limit, plain_epochs, our_epochs, reference_steps = _FULL if full else _QUICK
    data = load_colored_mnist(variance, seed, limit=limit)
    folder = new_run_folder(output_dir, "demo")
    settings = {"command": "demo", "full": full, "seed": seed, "variance": variance, "train_images": limit}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    console.print(
        f"Colored MNIST, variance {variance}: {limit:,} training images whose colour tells the digit, "
        f"{len(data.test):,} test images whose colour does not. {torch.get_num_threads()} threads.",
        soft_wrap=True,
    )
    plan: list[tuple[str, dict[str, Any]]] = [
        ("plain", {"epochs": plain_epochs}),
        ("reference", {"epochs": 500, "max_steps": reference_steps, "evaluate_every": max(1, reference_steps // 3)}),
        ("mib", {"epochs": our_epochs}),
    ]
    outcomes: dict[str, Outcome] = {}
    with bars() as shown:
        for name, options in plan:
            steps = options.get("max_steps") or options["epochs"] * (limit // METHODS[name].batch_size)
            shown.start(name, steps)
            outcomes[name] = run_method(
                name, data, seed=seed, on_step=shown.step, on_evaluation=shown.evaluation, **options
            )
    rows = [outcome.row for outcome in outcomes.values()]
    history = {name: outcome.history for name, outcome in outcomes.items()}
    command = f"midebias demo --seed {seed} --variance {variance}" + (" --full" if full else "")
    total = time.perf_counter() - started
    document = results_document(command, seed, rows, history=history, total_seconds=total)
    write_json(folder / "results.json", document)
    write_metrics(
        folder / "metrics.csv",
        [
            {k: e[k] for k in ("method", "step", "epoch", "seconds", "test_accuracy")}
            for h in history.values()
            for e in h
        ],
    )
    chosen = _wrong_colours(data)
    draw_poster(
        folder / "poster.png",
        digits=data.test.batch(torch.tensor(chosen)).x.permute(0, 2, 3, 1).numpy(),
        truth=data.test.y[chosen].tolist(),
        answers={name: outcome.answers[chosen].tolist() for name, outcome in outcomes.items()},
        history=history,
        rows=rows,
        title="Trained where colour gives the digit away, tested where it does not",
    )
    show_table(rows, title=f"Colored MNIST, variance {variance}, {limit:,} training images")
    console.print(
        "Test accuracy is on unbiased colours; c is whose colour a digit wears, which no answer needs.\n"
        "The reference recipe encodes 40 further batches per step (the paper trains 500 epochs); "
        f"here it ran for {reference_steps} steps, as many as fit.",
        soft_wrap=True,
    )
    console.print(f"Took {total:.0f} s.")
    console.print(f"picture  {folder / 'poster.png'}", soft_wrap=True)
    console.print(f"results  {folder / 'results.json'}", soft_wrap=True)


def _wrong_colours(data: ImageData) -> list[int]:
    """The first test image of each digit that wears another digit's colour."""
    y = data.test.y
    wrong = data.attribute_classes != y
    return [int((wrong & (y == digit)).nonzero()[0]) for digit in range(10)]
