"""Trains a convolutional network on the handwritten digits, beside the dense network of `tito demo digits`."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import click

from tito.demos import digits
from tito.environment import ONE_THREAD

# Chosen on four validation parts of the training digits; the test digits took part in no choice.
CHANNELS, DROPOUT, LEARNING_RATE, WEIGHT_DECAY, EPOCHS, DEGREES = (16, 32, 64), 0.3, 0.003, 0.01, 40, 10
NAMES = ("convolutions", "dense")


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the weights, the batches, the dropout and the turning of the digits.")
@click.option("--seeds", type=click.IntRange(min=1),
              help="Train so many times, with seeds from --seed on; the means, and how sure they are.")
@click.option("--epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True,
              help="Rounds through the training digits, for the convolutional network.")
@click.option("--learning-rate", type=float, default=LEARNING_RATE, show_default=True, callback=digits.positive,
              help="Of the first epoch, for the convolutional network.")
@click.option("--picture", type=click.Path(path_type=Path), help="Where the picture goes. [default: runs/cnn.png]")
def command(seed, seeds, epochs, learning_rate, picture):
    """Train a convolutional network on 1,300 handwritten digits, beside the dense network of `tito demo digits`.

    Both are watched on 137 digits and tested on 360 others, always the same.

    \b
      tito demo cnn             one network of each kind, their test accuracies and a picture
      tito demo cnn --seeds 5   five of each kind, the means of their accuracies and confidence intervals

    Exit status: 0 every run converged, 1 one did not (or there is no picture), 2 the command was wrong.
    """
    one_thread()
    runs = {name: [] for name in NAMES}
    for each in range(seed, seed + (seeds or 1)):
        for name, train in zip(NAMES, (train_convolutions, train_dense)):
            print(f"{name}, ", end="", flush=True)
            result = train(each, epochs, learning_rate)
            digits.report(result)
            runs[name].append(result)
    compare(runs)
    drawn = draw(runs["convolutions"][0], picture)
    return 0 if drawn and all(r["learnt"] for results in runs.values() for r in results) else 1


def one_thread() -> None:
    """Hold the matrix products to one thread: with many small ones, threads wait for each other more than they help."""
    if "numpy" not in sys.modules:  # later it would make no difference
        for name in ONE_THREAD:
            os.environ.setdefault(name, "1")


def train_convolutions(seed: int, epochs: int, learning_rate: float) -> dict:
    """Train one convolutional network on digits that are turned a little, then measure it on the test digits, once."""
    import numpy as np

    from tinytorch.core.cnn import random_rotation, with_channels
    from tinytorch.core.dataloader import Transformed
    from tinytorch.core.optimizers import AdamW
    from tinytorch.memory import keep_memory

    keep_memory()
    training, validation, test = map(with_channels, digits.parts())
    model = network(np.random.default_rng(seed))
    optimizer = AdamW(model.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    drawing = np.random.default_rng([seed, 1])
    turned = Transformed(training, lambda pictures: random_rotation(pictures, DEGREES, drawing))
    return digits.measured(model, optimizer, training, turned, validation, test, epochs, seed)


def network(rng):
    """Three convolutions with batch normalisation, two poolings, one dense layer."""
    from tinytorch.core.activations import ReLU
    from tinytorch.core.cnn import BatchNorm, Conv2D, Flatten, MaxPool2D
    from tinytorch.core.layers import Dense, Dropout
    from tinytorch.core.networks import Sequential

    layers, before = [], 1
    for channels, pooled in zip(CHANNELS, (False, True, True)):
        layers += [Conv2D(before, channels, 3, padding=1, rng=rng), BatchNorm(channels), ReLU()]
        layers += [MaxPool2D(2)] if pooled else []
        before = channels
    return Sequential([*layers, Flatten(), Dropout(DROPOUT, rng=rng), Dense(4 * before, 10, rng=rng)])


def train_dense(seed: int, epochs: int, learning_rate: float) -> dict:
    """The network of `tito demo digits`, with its own settings."""
    return digits.train(seed, digits.EPOCHS, digits.LEARNING_RATE)


def compare(runs: dict[str, list[dict]]) -> None:
    """Both kinds side by side, the runs that did not converge included."""
    print(f"\n{'':14}parameters   test accuracy   95% confidence       from      to   slowest")
    for name, results in runs.items():
        found = [r["accuracy"] for r in results]
        mean, half = interval(found)
        span = "one seed only" if half is None else f"{mean - half:.4f}-{mean + half:.4f}"
        print(f"{name:14}{results[0]['parameters']:10,}{mean:16.4f}   {span:>14}{min(found):11.4f}{max(found):8.4f}"
              f"{max(r['seconds'] for r in results):8.1f} s")  # fmt: skip
    better = [a["accuracy"] - b["accuracy"] for a, b in zip(*(runs[name] for name in NAMES))]
    mean, half = interval(better)
    within = "; --seeds 5 says how sure that is"
    if half is not None:
        within = f", 95% confidence {mean - half:+.4f} to {mean + half:+.4f}"
    print(f"convolutions above dense, seed by seed: {mean:+.4f}{within}")
    if half is not None:
        print("The intervals are about seeds: how much weights and batches matter. All read the same 360 digits.")
    for name, results in runs.items():
        failed = [str(r["seed"]) for r in results if not r["learnt"]]
        if failed:
            print(f"{name} did not converge: seed {', '.join(failed)}")


def interval(values: list[float]) -> tuple[float, float | None]:
    """Mean, and half the width of its 95% confidence interval (Student 1908); None for a single value."""
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return mean, None
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return mean, student(n - 1) * deviation / math.sqrt(n)


def student(freedom: int) -> float:
    """The factor that holds 95% of Student's t distribution between minus it and it."""
    exact = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    z = 1.959964  # the normal distribution's, corrected for many degrees of freedom (Fisher & Cornish 1960)
    expanded = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return exact[freedom - 1] if freedom <= len(exact) else expanded


def draw(result: dict, file: Path | None) -> bool:
    """The curves of a run, the digits it mistook and its first kernels, as a PNG; whether it could be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.2, 0.6))
    digits.curves(left, result)
    digits.mistakes(middle, result)
    kernels(right, result)
    file = digits.RUNS / "cnn.png" if file is None else file
    return digits.written(figure, file, f"curves, mistakes and kernels of seed {result['seed']}")


def kernels(figure, result: dict) -> None:
    """The kernels of the first layer."""
    import numpy as np

    weights = np.nan_to_num(result["model"][0].weights.data[:, 0])
    limit = abs(weights).max() or 1
    for axes, kernel in zip(figure.subplots(-(-len(weights) // 4), 4).ravel(), weights):
        axes.imshow(kernel, cmap="PuOr", vmin=-limit, vmax=limit)
        axes.axis("off")
    figure.suptitle("The kernels that see the pixels")
