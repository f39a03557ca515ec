"""Trains a network on 1,300 handwritten digits, watches it on 137 and tests it on 360 others."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import click

from tito import digits
from tito.digits import BATCH_SIZE, EPOCHS, LEARNING_RATE
from tito.errors import CourseError

LEARNT = 0.9  # a run that reads fewer of its own training digits has not converged
RUNS = Path(__file__).resolve().parents[2] / "runs"


def positive(context, parameter, value: float) -> float:
    """A finite number above 0."""
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value} is no number above 0.", context, parameter)
    return value


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the weights, the batches and the dropout.")
@click.option("--seeds", type=click.IntRange(min=1),
              help="Train so many times, with seeds from --seed on, and give the mean.")
@click.option("--epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True,
              help="Rounds through the training digits.")
@click.option("--learning-rate", type=float, default=LEARNING_RATE, show_default=True, callback=positive,
              help="Of the first epoch.")
@click.option("--picture", type=click.Path(path_type=Path), help="Where the picture goes. [default: runs/digits.png]")
def command(seed, seeds, epochs, learning_rate, picture):
    """Train a network on 1,300 handwritten digits, watch it on 137 and test it on 360 others.

    \b
      tito demo digits             one network, its test accuracy and a picture
      tito demo digits --seeds 5   five networks, and the mean of their accuracies

    Exit status: 0 every run converged, 1 one did not (or there is no picture), 2 the command was wrong.
    """
    results = []
    for each in range(seed, seed + (seeds or 1)):
        result = train(each, epochs, learning_rate)
        report(result)
        results.append(result)
    if len(results) > 1:
        summarise(results)
    drawn = draw(results[0], picture)
    return 0 if drawn and all(r["learnt"] for r in results) else 1


def train(seed: int, epochs: int, learning_rate: float) -> dict:
    """Train one network, then measure it on the test digits, once."""
    training, validation, test = parts()
    model, optimizer = digits.network(seed, learning_rate)
    return measured(model, optimizer, training, training, validation, test, epochs, seed)


def parts() -> tuple:
    """The digits to train on, to watch and to test on: always the same."""
    try:
        return digits.parts()
    except ValueError as error:  # the file is damaged
        raise CourseError(str(error)) from error


def measured(model, optimizer, training, seen, validation, test, epochs: int, seed: int, batch_size=BATCH_SIZE) -> dict:
    """What comes of training on `seen`, which is `training` or made from it, and then of the test, once."""
    import numpy as np

    from tinytorch.core.dataloader import DataLoader
    from tinytorch.core.training import Accuracy, NotFiniteError, confusion_matrix

    made = digits.training_of(model, optimizer, seen, validation, epochs, seed, batch_size)
    trainer, batches, watching, schedule = made
    begun, problem = time.perf_counter(), ""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            trainer.fit(batches, watching, epochs=epochs, schedule=schedule)
    except NotFiniteError as error:
        problem = str(error)
    seconds = time.perf_counter() - begun
    result = {"seed": seed, "seconds": seconds, "history": trainer.history, "problem": problem, "learnt": False}
    result |= {"parameters": sum(p.size for p in model.parameters()), "samples": len(training)}
    result |= {"test": test, "accuracy": 0.0, "model": model}
    if not problem:
        scores = trainer.predict(test.features)
        known = trainer.evaluate(DataLoader(training, batch_size=min(len(training), 2000), shuffle=False))["accuracy"]
        result |= {"scores": scores.numpy(), "accuracy": Accuracy()(scores, test.targets), "known": known}
        result |= {"matrix": confusion_matrix(scores, test.targets), "learnt": known >= LEARNT}
    return result


def report(result: dict) -> None:
    """What came of a run, in numbers."""
    history = result["history"]
    print(f"seed {result['seed']}: {result['parameters']:,} parameters, {result['samples']:,} training digits, "
          f"{len(history)} epochs in {result['seconds']:.1f} s")  # fmt: skip
    if result["problem"]:
        print(f"did not converge: {result['problem']}")
        return
    wrong = int(result["matrix"].sum() - result["matrix"].trace())
    print(f"test accuracy {result['accuracy']:.4f} ({wrong} of {len(result['test'])} digits mistaken)")
    if not result["learnt"]:
        print(f"did not converge: {result['known']:.1%} of the training digits are read correctly. {history.verdict()}")
    print("rows: the digit that was written; columns: what it was taken for")
    print("     " + " ".join(f"{digit:3d}" for digit in range(10)))
    for digit, row in enumerate(result["matrix"]):
        print(f"{digit:3d}  " + " ".join(f"{count:3d}" if count else "  ." for count in row))


def summarise(results: list[dict]) -> None:
    """The mean over all runs, those that did not converge included."""
    accuracies = [r["accuracy"] for r in results]
    mean = sum(accuracies) / len(accuracies)
    span, slowest = f"from {min(accuracies):.4f} to {max(accuracies):.4f}", max(r["seconds"] for r in results)
    print(f"mean test accuracy over {len(results)} seeds {mean:.4f} ({span}), at most {slowest:.1f} s a seed")
    failed = [str(r["seed"]) for r in results if not r["learnt"]]
    if failed:
        print(f"did not converge: seed {', '.join(failed)}")


def draw(result: dict, file: Path | None) -> bool:
    """The curves of a run and the digits it mistook, as a PNG; whether it could be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    curves(left, result)
    mistakes(right, result)
    file = RUNS / "digits.png" if file is None else file
    return written(figure, file, f"curves and mistakes of seed {result['seed']}")


def written(figure, file: Path, what: str) -> bool:
    """Write a picture as a PNG, and say where it is; whether it could be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=110)
    except (OSError, ValueError) as error:
        print(f"tito: the picture could not be written to {file}: {error}.", file=sys.stderr)
        print("  Choose another place: --picture FILE", file=sys.stderr)
        return False
    print(f"{what}: {file}")
    return True


def curves(figure, result: dict) -> None:
    """Loss and accuracy against the epoch."""
    history = result["history"]
    epochs = range(1, len(history) + 1)
    upper, lower = figure.subplots(2, 1, sharex=True)
    lines = (("", "#0072b2", "-", "training"), ("val_", "#d55e00", "--", result.get("watched", "validation")))
    for axes, name in ((upper, "loss"), (lower, "accuracy")):
        for prefix, colour, style, label in lines:
            if len(history):
                marker = "o" if len(history) == 1 else ""
                axes.plot(epochs, history[prefix + name], style, color=colour, label=label, marker=marker)
        axes.set_ylabel(name)
    if len(history):
        upper.set_yscale("log")
        upper.legend(frameon=False)
    fell = {True: "The loss fell", False: "The loss did not fall", None: "Too few epochs to say whether the loss falls"}
    upper.set_title(fell[history.converging])
    lower.set_xlabel("epoch")


def mistakes(figure, result: dict, what: str = "digits") -> None:
    """The test pictures that were mistaken."""
    if "scores" not in result:
        figure.suptitle("There is nothing to show: training stopped before its end")
        return
    guesses, test = result["scores"].argmax(axis=1), result["test"]
    wrong = (guesses != test.targets).nonzero()[0]
    more = ", 20 of them here" if len(wrong) > 20 else ""
    figure.suptitle(f"{len(wrong):,} of {len(test):,} test {what} were mistaken{more}")
    grid = figure.subplots(4, 5).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, i in zip(grid, wrong):
        axes.imshow(test.images[i], cmap="gray_r")
        written_as, taken_for = test.target_names[test.targets[i]], test.target_names[guesses[i]]
        axes.set_title(f"{written_as}{' ' if len(written_as) == 1 else chr(10)}taken for {taken_for}", fontsize=9)
