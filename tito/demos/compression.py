"""Makes a trained network smaller in every way of the compression chapter, and puts the results into a table."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click

from tito.demos import cnn, digits
from tito.errors import CourseError

EPOCHS = {"digits": (40, 15), "fashion-mnist": (8, 3)}  # of training, and of each fine-tuning


@click.command()
@click.option("--data", type=click.Choice(list(EPOCHS)), default="digits", show_default=True,
              help="Fashion-MNIST takes some minutes, and its files have to be there.")
@click.option("--network", type=click.Choice(["dense", "convolutions"]), default="dense", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the weights and the batches.")
@click.option("--epochs", type=click.IntRange(min=1), help="Of training. [default: 40; 8 for Fashion-MNIST]")
@click.option("--tuning", type=click.IntRange(min=1),
              help="Epochs of each fine-tuning. [default: 15; 3 for Fashion-MNIST]")
@click.option("--picture", type=click.Path(path_type=Path), help="Where it goes. [default: runs/compression.png]")
def command(data, network, seed, epochs, tuning, picture):
    """Train a network and make it smaller in every way of the compression chapter.

    \b
      tito demo compression                          a dense network on the digits
      tito demo compression --network convolutions   a convolutional one
      tito demo compression --data fashion-mnist     70,000 pictures of clothes

    The table holds the bytes of each file, the accuracy on the test part, and the time of an answer.

    Exit status: 0 all went well, 1 there is no data (or no picture), 2 the command was wrong.
    """
    cnn.one_thread()
    from tinytorch.core.compression import assess, compressed, fit, table_row
    from tinytorch.core.networks import count_parameters

    training, test = load(data, network)
    model = build(network, training, seed)
    whole, each = EPOCHS[data]
    counts = f"{count_parameters(model):,} parameters, {len(training):,} training samples, {len(test):,} test samples"
    print(counts, flush=True)
    long = {"epochs": epochs or whole, "seed": seed, "batch_size": 32 if data == "digits" else 128}
    loss = fit(model, training, **long)
    print(f"trained; loss of the last epoch {loss:.4f}", flush=True)
    smaller = compressed(model, training, epochs=tuning or each, seed=seed)
    students = distilled(build(network, training, seed, share=4), model, training, long)
    rows = {}
    for name, found in chain(smaller, students):
        rows[name] = assess(found, test)
        print(table_row(name, rows[name], rows["float32"]), flush=True)
    return 0 if draw(rows, picture) else 1


def load(data: str, network: str):
    """Training and test part, with channels for convolutions."""
    from tinytorch.core.cnn import with_channels
    from tinytorch.core.dataloader import digits_split, load_fashion_mnist

    try:
        parts = digits_split() if data == "digits" else load_fashion_mnist()
    except (FileNotFoundError, ValueError) as error:  # not there, or damaged
        raise CourseError(str(error)) from error
    return parts if network == "dense" else [with_channels(part) for part in parts]


def distilled(student, teacher, dataset, training: dict):
    """A student that learns what the teacher says as long as the teacher learnt; then the same in integers."""
    from tinytorch.core.compression import distil, quantize_model

    distil(student, teacher, dataset, temperature=2.0, alpha=0.5, **training)
    yield "a quarter as wide, distilled", student
    yield "a quarter as wide, distilled, int8", quantize_model(student, dataset.features[:1000])


def build(network: str, dataset, seed: int, share: int = 1):
    """A network for these samples; with a share of 4, its layers are a quarter as wide."""
    import numpy as np

    from tinytorch.core.activations import ReLU
    from tinytorch.core.cnn import BatchNorm, Conv2D, Flatten, MaxPool2D
    from tinytorch.core.layers import Dense
    from tinytorch.core.networks import Sequential, create_mlp

    shape, rng = dataset.features.shape[1:], np.random.default_rng(seed)
    if network == "dense":
        return create_mlp(shape[0], [256 // share, 128 // share], 10, rng=rng)
    side, first, second = shape[-1] // 4, 16 // share, 32 // share
    return Sequential([
        Conv2D(1, first, 3, padding=1, rng=rng), BatchNorm(first), ReLU(), MaxPool2D(2),
        Conv2D(first, second, 3, padding=1, rng=rng), BatchNorm(second), ReLU(), MaxPool2D(2),
        Flatten(), Dense(second * side * side, 10, rng=rng),
    ])  # fmt: skip


def draw(rows: dict, file: Path | None) -> bool:
    """What is misread against the bytes of the file, as a PNG; whether it could be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tinytorch.core.compression import plot_sizes

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    plot_sizes(rows, figure.subplots()).set_title("What a byte is worth")
    file = digits.RUNS / "compression.png" if file is None else file
    return digits.written(figure, file, "accuracy against size")
