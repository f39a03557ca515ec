"""Mutation testing of the chapters: `python -m tito.mutation [NAME ...]`.

Each small change to a solution (`mutants`) takes the solution's place in the exported module, in a forked
process, and the tests that students get have to notice: the exercise's own test cells; failing that, the chapter's
other cells; failing that, tests/NAME. A mutant that none of them notices has survived, and is explained in
tests/mutants/NAME.yaml or is a gap in the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click

from tito import workspace
from tito.course import Course, Module
from tito.environment import ONE_THREAD
from tito.errors import CourseError, UsageError

try:
    from tito.mutation.mutants import Mutant, mutants
    from tito.mutation.trials import LAYERS, Trials
except ModuleNotFoundError as error:
    raise SystemExit(
        f"tito.mutation: {error.name} is missing. It comes with the extra dev: python -m pip install -e '.[dev]'"
    ) from error

ENOUGH = 0.9  # of a chapter's mutants have to be killed
Choice = Callable[[list[Mutant]], list[Mutant]]


@dataclass
class Tried:
    """A mutant and what came of it."""

    mutant: Mutant
    killed_by: str = ""  # one of LAYERS; empty where it survived
    timed_out: bool = False
    why: str = ""  # the explanation of a survivor


@dataclass
class Result:
    """What came of a chapter's mutants."""

    module: Module
    tried: list[Tried]
    complete: bool  # False for a sample and for one exercise
    stale: list[str] = field(default_factory=list)  # explanations that explain nothing

    def killed(self, layer: str = "") -> int:
        return sum(bool(t.killed_by) and t.killed_by == (layer or t.killed_by) for t in self.tried)

    @property
    def survivors(self) -> list[Tried]:
        return [t for t in self.tried if not t.killed_by]

    @property
    def score(self) -> float:
        return self.killed() / len(self.tried) if self.tried else 1.0

    @property
    def own_score(self) -> float:
        return self.killed("own cells") / len(self.tried) if self.tried else 1.0

    @property
    def timed_out(self) -> int:
        return sum(t.timed_out for t in self.tried)

    @property
    def good(self) -> bool:
        """A sample's share means little; its survivors have to be explained all the same."""
        enough = self.score >= ENOUGH or not self.complete
        return enough and not self.stale and all(t.why for t in self.survivors)


def tried_mutants(course: Course, module: Module, exercise: str, choose: Choice, processes: int) -> Result:
    """Try a chapter's mutants, those of one exercise, or a sample of them."""
    chapter = workspace.reference_chapter(course, module)
    if missing := workspace.unsolved(chapter):
        raise CourseError(f"{chapter.path} holds no solution of {', '.join(sorted(missing))}: nothing to change.")
    if exercise and exercise not in chapter.exercises:
        raise UsageError(f"{module.id} has no exercise {exercise!r}. There are: {', '.join(chapter.exercises)}.")
    every = [mutant for mutant in mutants(chapter) if exercise in ("", mutant.exercise)]
    tried = [Tried(mutant) for mutant in choose(every)]
    trials = Trials(course, module, chapter, processes)
    for layer in LAYERS:
        left = [t for t in tried if not t.killed_by]
        for one, end in zip(left, trials.run(layer, [t.mutant for t in left]), strict=True):
            if end != "passed":
                one.killed_by, one.timed_out = layer, end == "timed out"
    reasons = {key: why for key, why in explanations(course, module).items() if exercise in ("", key[0])}
    result = Result(module, tried, complete=len(tried) == len(every) and not exercise)
    for one in result.survivors:
        one.why = reasons.get(one.mutant.key, "")
    existing, killed = {m.key for m in every}, {t.mutant.key for t in tried if t.killed_by}
    result.stale = [
        f"{key[0]}: {'the tests kill it now' if key in killed else 'there is no such mutant'}\n{key[1]}"
        for key in reasons
        if key in killed or key not in existing
    ]
    return result


def chosen(every: list[Mutant], sample: int | None, seed: int) -> list[Mutant]:
    """All of them, or a sample that depends on the seed alone: another exercise's edit leaves most of it as it was."""
    if sample is None:
        return every
    return sorted(every, key=lambda m: hashlib.sha256(repr((seed, m.key)).encode()).digest())[:sample]


def explanations(course: Course, module: Module) -> dict[tuple[str, str, int], str]:
    """Why a mutant may survive, from tests/mutants/NAME.yaml."""
    import yaml

    file = course.tests / "mutants" / f"{module.name}.yaml"
    found: dict[tuple[str, str, int], str] = {}
    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
        for exercise, reasons in (written or {}).items():
            for reason in reasons:
                for change in reason["changes"]:
                    occurrence = 1
                    while (key := (exercise, change.rstrip() + "\n", occurrence)) in found:
                        occurrence += 1
                    found[key] = reason["why"].strip()
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise CourseError(
            f"{file.relative_to(course.root).as_posix()} cannot be read: {type(error).__name__}: {error}\n"
            "  It maps each exercise to a list of reasons, each with `why` and a list `changes`."
        ) from error
    return found


def table(results: list[Result]) -> Iterator[str]:
    """The chapters, a line each."""
    heads = ("mutants", *LAYERS, "timed out", "survived", "explained", "killed", "by own cells")
    yield " " * 16 + "".join(f"  {head}" for head in heads)
    for result in results:
        count = len(result.tried)
        killed = [result.killed(layer) for layer in LAYERS]
        left, explained = len(result.survivors), sum(bool(t.why) for t in result.survivors)
        values = (count, *killed, result.timed_out, left, explained, f"{result.score:.1%}", f"{result.own_score:.1%}")
        yield f"{result.module.id:<16}" + "".join(f"  {v:>{len(h)}}" for h, v in zip(heads, values, strict=True))


def complaints(result: Result) -> Iterator[str]:
    """What keeps a chapter from being good."""
    for one in result.survivors:
        if not one.why:
            yield f"{result.module.dev_path}:{one.mutant.line}: {one.mutant.exercise} survives\n{one.mutant.change}"
    for text in result.stale:
        yield f"{result.module.dev_path}: an explanation is stale, {text}"
    if result.complete and result.score < ENOUGH:
        yield f"{result.module.dev_path}: {result.score:.1%} of the mutants are killed, {ENOUGH:.0%} have to be."


def as_data(result: Result) -> dict:
    """A result for a script."""
    return {
        "module": result.module.id,
        "mutants": len(result.tried),
        "complete": result.complete,
        "killed": {layer: result.killed(layer) for layer in LAYERS},
        "timed_out": result.timed_out,
        "score": result.score,
        "own_score": result.own_score,
        "good": result.good,
        "survivors": [
            {"exercise": t.mutant.exercise, "line": t.mutant.line, "change": t.mutant.change, "why": t.why}
            for t in result.survivors
        ],
        "stale": result.stale,
    }


@click.command()
@click.argument("names", nargs=-1)
@click.option("--exercise", default="", metavar="NAME", help="Of one chapter, this exercise alone.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Try N mutants of each chapter.")
@click.option("--seed", default=0, help="Which sample.")
@click.option("--processes", type=click.IntRange(1), default=min(2, os.cpu_count() or 1), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For a script.")
def main(names, exercise, sample, seed, processes, as_json):
    """Change the solutions in small ways, and see whether the tests notice.

    \b
      python -m tito.mutation                            every chapter
      python -m tito.mutation 07_autograd                one chapter
      python -m tito.mutation 07 --exercise unbroadcast  one exercise
      python -m tito.mutation --sample 10                ten mutants of each chapter, always the same

    Exit status: 0 where 90% of each chapter's mutants are killed and every survivor is explained, else 1.
    """
    results = []
    if exercise and len(names) != 1:
        raise click.UsageError("--exercise goes with one chapter.")
    try:
        if not hasattr(os, "fork"):
            raise UsageError("mutation testing starts a process for each mutant with fork, which this system lacks.")
        course = Course.find()
        sys.path.insert(0, str(course.root))
        wanted = {course.module(name) for name in names}
        for module in (m for m in course.modules if m in wanted or not names):
            began = time.monotonic()
            results.append(tried_mutants(course, module, exercise, lambda m: chosen(m, sample, seed), processes))
            click.echo(f"{module.id}: {len(results[-1].tried)} mutants, {time.monotonic() - began:.0f} s", err=True)
    except CourseError as error:
        click.echo(f"tito.mutation: {error}", err=True)
        sys.exit(error.status)
    if as_json:
        click.echo(json.dumps({"modules": [as_data(result) for result in results]}, indent=1))
    else:
        for line in table(results):
            click.echo(line)
        for complaint in (text for result in results for text in complaints(result)):
            click.echo(f"\n{complaint.rstrip()}")
    sys.exit(0 if all(result.good for result in results) else 1)


if __name__ == "__main__":
    os.environ |= {**dict.fromkeys(ONE_THREAD, "1"), "MPLBACKEND": "Agg"}  # many small processes
    main()
