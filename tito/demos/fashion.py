"""Trains a convolutional network on 60,000 pictures of clothes (Fashion-MNIST) and tests it on 10,000 others."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tito.demos import cnn, digits
from tito.errors import CourseError

# Chosen on 5,000 of the training pictures; the test pictures took part in no choice.
CHANNELS, HIDDEN, DROPOUT, LEARNING_RATE, WEIGHT_DECAY, EPOCHS, BATCH_SIZE = (16, 32, 64), 128, 0.3, 0.003, 0.01, 8, 64
WATCHED = 2000  # of the training pictures, to be looked at after each epoch; they are trained on all the same


@click.command()
@click.option("--folder", type=click.Path(path_type=Path),
              help="Where the four idx files are. [default: TINYTORCH_DATA, then where Debian puts them]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the weights, the batches, the dropout and the mirroring.")
@click.option("--epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True,
              help="Rounds through the training pictures.")
@click.option("--samples", type=click.IntRange(min=1000),
              help="Train on the first so many pictures only, for a quick look.")
@click.option("--learning-rate", type=float, default=LEARNING_RATE, show_default=True, callback=digits.positive,
              help="Of the first epoch.")
@click.option("--picture", type=click.Path(path_type=Path), help="Where the picture goes. [default: runs/fashion.png]")
def command(folder, seed, epochs, samples, learning_rate, picture):
    """Train a convolutional network on pictures of clothes (Xiao et al. 2017).

    The pictures are not part of the course: Debian and Ubuntu have them as dataset-fashion-mnist.

    \b
      tito demo fashion                  all 60,000 pictures; some minutes, and how many are left is shown
      tito demo fashion --samples 5000   a quick look
      tito demo fashion --folder DIR     with the files in DIR

    Exit status: 0 it converged, 1 it did not (or there are no pictures), 2 the command was wrong.
    """
    cnn.one_thread()
    result = train(folder, seed, epochs, samples, learning_rate)
    report(result)
    drawn = draw(result, picture)
    return 0 if drawn and result["learnt"] else 1


def train(folder, seed: int, epochs: int, samples: int | None, learning_rate: float) -> dict:
    """Train the network, then measure it on the test pictures, once."""
    import numpy as np

    from tinytorch.core.cnn import with_channels
    from tinytorch.core.dataloader import Transformed, load_fashion_mnist, random_flip
    from tinytorch.core.optimizers import AdamW
    from tinytorch.memory import keep_memory

    keep_memory()
    begun = time.perf_counter()
    try:
        training, test = map(with_channels, load_fashion_mnist(folder))
    except (OSError, ValueError) as error:
        raise CourseError(str(error)) from error
    training = training.subset(range(min(samples or len(training), len(training))))
    seconds = time.perf_counter() - begun
    print(f"{len(training):,} pictures to train on, {len(test):,} to test on; read in {seconds:.1f} s", flush=True)
    model, drawing = network(np.random.default_rng(seed)), np.random.default_rng([seed, 1])
    optimizer = AdamW(model.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    mirrored = Transformed(training, lambda pictures: random_flip(pictures, drawing))
    watched = training.subset(range(min(WATCHED, len(training))))
    result = digits.measured(model, optimizer, training, mirrored, watched, test, epochs, seed, BATCH_SIZE)
    return result | {"watched": f"{len(watched):,} training pictures as they are"}


def network(rng):
    """Three convolutions with batch normalisation and pooling, two dense layers."""
    from tinytorch.core.activations import ReLU
    from tinytorch.core.cnn import BatchNorm, Conv2D, Flatten, MaxPool2D
    from tinytorch.core.layers import Dense, Dropout, he_normal
    from tinytorch.core.networks import Sequential

    layers, before = [], 1
    for channels in CHANNELS:
        # Pooling first: it leaves batch normalisation and ReLU a quarter of the work.
        layers += [Conv2D(before, channels, 3, padding=1, rng=rng), MaxPool2D(2), BatchNorm(channels), ReLU()]
        before = channels
    hidden = [Dense(9 * before, HIDDEN, weight_init=he_normal, rng=rng), ReLU(), Dropout(DROPOUT, rng=rng)]
    return Sequential([*layers, Flatten(), Dropout(DROPOUT, rng=rng), *hidden, Dense(HIDDEN, 10, rng=rng)])


def report(result: dict) -> None:
    """What came of the run, in numbers."""
    print(f"seed {result['seed']}: {result['parameters']:,} parameters, {len(result['history'])} epochs "
          f"in {result['seconds'] / 60:.1f} minutes")  # fmt: skip
    if result["problem"]:
        print(f"did not converge: {result['problem']}")
        return
    matrix, names = result["matrix"], result["test"].target_names
    wrong = int(matrix.sum() - matrix.trace())
    print(f"test accuracy {result['accuracy']:.4f} ({wrong:,} of {len(result['test']):,} pictures mistaken)")
    if not result["learnt"]:
        print(f"did not converge: {result['known']:.1%} of the training pictures are read correctly. "
              f"{result['history'].verdict()}")  # fmt: skip
    print("class         right   most often taken for")
    for i, row in enumerate(matrix):
        others = row.copy()
        others[i] = 0
        other = f"{names[others.argmax()]} ({others.max()} of {row.sum()})"
        print(f"{names[i]:12}{row[i] / max(row.sum(), 1):7.1%}   {other}")


def draw(result: dict, file: Path | None) -> bool:
    """Curves, mistakes, kernels and feature maps, as a PNG; whether it could be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    left, right = upper.subfigures(1, 2, width_ratios=(1, 1.3))
    digits.curves(left, result)
    digits.mistakes(right, result, "pictures")
    left, right = lower.subfigures(1, 2, width_ratios=(0.5, 2))
    cnn.kernels(left, result)
    feature_maps(right, result)
    file = digits.RUNS / "fashion.png" if file is None else file
    return digits.written(figure, file, "curves, mistakes, kernels and feature maps")


def feature_maps(figure, result: dict) -> None:
    """What the first layer makes of four pictures of different classes: the four busiest feature maps of each."""
    import numpy as np

    from tinytorch.core.autograd import no_grad
    from tinytorch.core.tensor import Tensor

    test, first = result["test"], result["model"].eval()[:4]
    chosen = [int(np.argmax(test.targets == label)) for label in (0, 5, 8, 9)]
    with no_grad():
        maps = np.nan_to_num(first(Tensor(test.features[chosen])).numpy())
    grid = figure.subplots(4, 9)
    busiest = np.argsort(-maps.sum(axis=(0, 2, 3)))[:8]
    for row, i, seen in zip(grid, chosen, maps):
        row[0].imshow(test.features[i, 0], cmap="gray_r")
        row[0].set_title(test.target_names[test.targets[i]], fontsize=9)
        for axes, channel in zip(row[1:], busiest):
            axes.imshow(seen[channel], cmap="cividis")
    for axes in grid.ravel():
        axes.axis("off")
    figure.suptitle("The first layer finds edges and flat areas: its eight busiest feature maps")
