"""``midebias demo``: plain training, the reference recipe and ours, side by side on Colored MNIST."""

import time
from pathlib import Path
from typing import Annotated, Any

import torch
from typer import Option

from ..experiments.image_outcome import Outcome
from ..experiments.planted_images import load_planted_images
from ..experiments.run_folder import make_run_folder, write_metrics, write_results
from ..methods import METHODS
from ..reporting.poster import draw_poster
from .command_line import write_command
from .console import console, show_bars, show_files, show_line, show_table
from .options import Config, OutputDir

# images, epochs of plain, epochs of ours, steps of the reference recipe, epochs between evaluations
_QUICK = (20_000, 4, 6, 48)
_FULL = (60_000, 5, 5, 250)


def demo(
    full: Annotated[bool, Option("--full", help="All 60,000 images; takes several times as long.")] = False,
    seed: Annotated[int, Option(min=0, help="Seeds the colours, the weights and the order.")] = 0,
    variance: Annotated[float, Option(help="Variance of the colour jitter.")] = 0.020,
    config: Config = None,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Show debiasing at work on real digits, offline, in under five minutes on two CPU cores.

    In training a digit's colour gives its label away; in the test it says nothing. Three methods learn from
    the same biased images and are tested in other colours.

    Example: midebias demo --seed 1
    """
    from ..experiments.image_run import run_method

    started = time.perf_counter()
    limit, plain_epochs, our_epochs, reference_steps = _FULL if full else _QUICK
    data = load_planted_images("colored-mnist", variance, seed, limit=limit)
    settings = {"command": "demo", "full": full, "seed": seed, "variance": variance, "train_images": limit}
    folder = make_run_folder(output_dir, "demo", settings)
    show_line(
        f"Colored MNIST, variance {variance}: {limit:,} training images whose colour tells the digit, "
        f"{len(data.test):,} test images whose colour does not. {torch.get_num_threads()} threads."
    )
    plan: list[tuple[str, dict[str, Any]]] = [
        ("plain", {"epochs": plain_epochs}),
        ("reference", {"epochs": 500, "max_steps": reference_steps, "evaluate_every": max(1, reference_steps // 3)}),
        ("mib", {"epochs": our_epochs}),
    ]
    outcomes: dict[str, Outcome] = {}
    with show_bars() as shown:
        for name, options in plan:
            steps = options.get("max_steps") or options["epochs"] * (limit // METHODS[name].batch_size)
            shown.start(name, steps)
            outcome = run_method(name, data, seed=seed, on_step=shown.step, on_evaluation=shown.evaluation, **options)
            assert outcome is not None
            outcomes[name] = outcome
    rows = [outcome.row for outcome in outcomes.values()]
    history = {name: outcome.history for name, outcome in outcomes.items()}
    command = write_command("demo", seed=seed, variance=variance, full=full)
    total = time.perf_counter() - started
    write_results(folder, command, seed, rows, history=history, total_seconds=total)
    columns = ("method", "step", "epoch", "seconds", "test_accuracy")
    write_metrics(folder / "metrics.csv", [{k: e[k] for k in columns} for h in history.values() for e in h])
    wrong = data.attribute_classes != data.test.y  # a digit in another's colour; of each digit the first is shown
    chosen = [int((wrong & (data.test.y == digit)).nonzero()[0]) for digit in range(10)]
    draw_poster(
        folder / "poster.png", history=history, rows=rows,
        digits=data.test.batch(torch.tensor(chosen)).x.permute(0, 2, 3, 1).numpy(),
        truth=data.test.y[chosen].tolist(),
        answers={name: outcome.answers[chosen].tolist() for name, outcome in outcomes.items()},
        title="Trained where colour gives the digit away, tested where it does not",
    )  # fmt: skip
    show_table(rows, title=f"Colored MNIST, variance {variance}, {limit:,} training images")
    show_line(
        "Test accuracy is on unbiased colours; c is whose colour a digit wears, which no answer needs.\n"
        "The reference recipe encodes 40 further batches per step (the paper trains 500 epochs); "
        f"here it ran for {reference_steps} steps, as many as fit."
    )
    console.print(f"Took {total:.0f} s.")
    show_files(folder, picture="poster.png", results="results.json")
