"""A new release of the course comes into a student's work.

A chapter in progress is merged three ways: the kept reference, the new release, the student's file. All else is the
release's. Nothing is decided while a conflict is left; what is decided happens as a whole, and can be undone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tito import attempts, export, lost, sources, transaction, workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.derived import GENERATED, current
from tito.errors import CourseError, UsageError
from tito.files import read, write_atomically
from tito.merge import REST, Conflict, merge, with_regions
from tito.transaction import Change

MANIFEST = "release.json"


@dataclass
class Plan:
    """What an update would do, and what it says of it."""

    change: Change
    said: list[str] = field(default_factory=list)
    conflicts: list[tuple[Module, Conflict]] = field(default_factory=list)
    saved: list[tuple[Module, str]] = field(default_factory=list)  # chapters to keep as they were, and under what name
    seen: dict[Path, str] = field(default_factory=dict)  # what the plan was made from


def plan(course: Course, release: Course, source: str, take) -> Plan:
    """What the release changes here. `take(chapter, name)` settles conflicts."""
    planned = Plan(Change(source))
    files = {path: file.read_bytes() for path, file in sources.files(release).items()}
    planned.change.executable = [p for p, file in sources.files(release).items() if os.access(file, os.X_OK)]
    successors = _successors(course, release)
    for module in course.every_module:
        if lost.is_lost(course, module):  # else the release's file would replace it
            raise CourseError(lost.explanation(course, module))
        new = successors.get(module.name)
        if workspace.is_started(course, module):
            if new:
                _chapter(course, release, module, new, files, planned, take)
            else:
                planned.saved.append((module, module.name))
                planned.said.append(f"{module.id:<16} is not in the release any more; what you wrote is kept")
    _files(course, files, successors, planned)
    return planned


def names(course: Course) -> list[str]:
    """What `--take` can name: the chapters in progress; of each its exercises, and all else in it."""
    begun = [m for m in course.every_module if workspace.is_started(course, m)]
    own = {m.name: [*workspace.reference_chapter(course, m).exercises, REST] for m in begun}
    return [*own, *(f"{name}:{part}" for name, parts in own.items() for part in parts)]


def known(course: Course) -> tuple[dict[str, str], bool]:
    """Fingerprints of the files of the release that is here, and whether all of them are known to be the release's."""
    try:
        found = json.loads(read(course.private / MANIFEST))
        return found["files"], found["all released"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}, False


def remember(course: Course) -> None:
    """Write down what stands in the course's files before work on the first chapter begins."""
    if not (course.private / MANIFEST).exists():
        files = {path: file.read_bytes() for path, file in sources.files(course).items()}
        write_atomically(course.private / MANIFEST, _manifest(files, False))


def _manifest(files: dict[str, bytes], released: bool) -> str:
    prints = {path: _sha(data) for path, data in files.items() if not path.startswith(".tito/")}
    return json.dumps({"all released": released, "files": prints}, indent=0)


def apply(course: Course, planned: Plan) -> None:
    """Decide the change, under the lock; `finish` carries it out."""
    with workspace.alone(course):
        if transaction.interrupted(course) or any(Chapter.read(f).text != text for f, text in planned.seen.items()):
            raise CourseError("somebody else is at work in this course. Nothing was changed: try again.")
        for module, name in planned.saved:
            new = Module(module.root, module.directory.with_name(f"{module.number:02d}_{name}"))
            why = "before-undo-of-update" if planned.change.undoes else "before-update"
            attempts.save(course, new, why, attempts.stands_there(module))
        transaction.decide(course, planned.change)


def finish(course: Course) -> list[str]:
    """Carry out what was decided, test what was in the package again; what there is to say at the end."""
    with workspace.alone(course):
        texts = json.loads(read(transaction.stage(course) / "plan.json"))["texts"]
        try:
            plan = transaction.carry_out(course, lambda path: _keep(course, path, texts))
        except OSError as error:
            said = f"{error.strerror} ({error.filename}). The same command carries on, once that is mended."
            raise CourseError(f"the update stopped half-way: {said}") from error
    said = [_test_again(course, name) for name in plan["retest"]]
    transaction.close(course)
    if plan["undoes"]:
        return [*said, "Done: the course is as it was before that update."]
    return [*said, "Done. As it was before: tito update --undo   (a chapter alone: tito undo MODULE)"]


def undo(course: Course) -> Plan:
    """The change that takes the last update back; what was written since stays in."""
    done = transaction.last(course)
    if done is None:
        raise UsageError("no update is there that could be undone.")
    made = json.loads(read(done / "plan.json"))
    planned = Plan(Change(f"undo of {made['source']}", undoes=done.name))
    old = {f.relative_to(done / "old").as_posix(): f for f in (done / "old").rglob("*") if f.is_file()}
    for path, file in old.items():
        data = file.read_bytes()
        there = made["moved"].get(path, path)
        if there in made["texts"] and (course.root / there).exists():
            now = Chapter.read(course.root / there).text
            data = merge(made["texts"][there], now, data.decode(), lambda name: "ours")[0].encode()
        if os.access(file, os.X_OK):
            planned.change.executable.append(path)
        if not (course.root / path).exists() or (course.root / path).read_bytes() != data:
            planned.change.write[path] = data
    planned.change.remove = [path for path in made["fresh"] if (course.root / path).exists()]
    planned.saved = [(m, m.name) for m in course.every_module if workspace.is_started(course, m)]
    planned.said = [f"{'the course':<16} {len(planned.change.write)} files as they were before the last update"]
    return planned


def _chapter(course, release, module: Module, new: Module, files: dict[str, bytes], planned: Plan, take) -> None:
    """A chapter in progress: its text and its reference, in place of the release's file."""
    old_reference, reference = workspace.reference_chapter(course, module), workspace.reference_chapter(release, new)
    solved = {r.name: textwrap.dedent(r.text) for r in old_reference.regions}
    solutions = {r.name: textwrap.dedent(r.text) for r in reference.regions}

    def pick(name: str, base: str, ours: str, theirs: str) -> str:
        """A blank exercise is the release's blank, the course's solution the release's, all else the student's."""
        if ours == base:
            return theirs
        return solutions[name] if ours == solved.get(name) and name in solutions else ours

    base, theirs = workspace.blanked(old_reference), workspace.blanked(reference)
    mine = workspace.without_notes(module.chapter)
    text, conflicts = merge(base, mine, theirs, lambda name: take(module, name), pick)
    planned.conflicts += [(module, conflict) for conflict in conflicts]
    files.pop(new.dev_path)
    unlocked = {n: solved[n] for n in workspace.unsolved(reference) - workspace.unsolved(old_reference) if n in solved}
    if unlocked:  # solutions that a students' edition was sent: they stay, also in the package
        reference = Chapter(reference.path, with_regions(reference.text, unlocked))
        package = export.target(release, new).relative_to(release.root).as_posix()
        files[package] = export.generate(release, new, reference.text).encode()
    kept = f".tito/reference/{new.name}/{new.name}_dev.py"
    if workspace.reference(course, module).exists() or not workspace.handed_out_file(release, new).exists():
        files[kept] = reference.text.encode()
    files[new.dev_path] = text.encode()
    planned.change.texts[new.dev_path] = text
    planned.seen[module.dev] = module.chapter.text
    if new.id != module.id:
        planned.change.moved[module.dev_path] = new.dev_path
    target = export.target(course, module)
    if workspace.fingerprint(current(target)) == workspace.result(course, module).get("installed"):
        planned.change.retest.append(new.name)
        result = course.private / "results" / f"{module.name}.json"
        files[f".tito/results/{module.name}.json"] = result.read_bytes()
    if text != module.chapter.text or reference.text != old_reference.text:
        planned.saved.append((module, new.name))
        work = sum(r.text != workspace.blank(old_reference, r, r.indent) for r in module.chapter.regions)
        what = f"is {new.id} now: " if new.id != module.id else ""
        planned.said.append(f"{module.id:<16} {what}the release's prose and tests, your work on {work} exercises")


def _files(course: Course, files: dict[str, bytes], successors: dict[str, Module], planned: Plan) -> None:
    """Everything else: the release's, and what the student changed in it is named."""
    change, aside = planned.change, []
    before, released = known(course)
    for path, data in files.items():
        here = course.root / path
        if here.exists() and here.read_bytes() == data:
            if path.startswith(".tito/results/"):
                change.write[path] = data  # so that an undo brings it back
            continue
        mine = here.exists() and path not in change.texts and _changed(course, before, path)
        if mine and before.get(path) == _sha(data):
            continue  # changed here, and not by the release
        change.write[path] = data
        aside += [path] if mine else []
    gone = [p for p in before if released and p not in files and (course.root / p).is_file()]
    gone += [p for p in _left_over(course, files, successors) if p not in gone]
    moved = {m.dev_path for m in course.every_module if _moved(m, successors)}
    change.remove = [p for p in gone if p in moved or not _changed(course, before, p)]
    if change.write or change.remove:
        change.write[f".tito/{MANIFEST}"] = _manifest(files, True).encode()
    replaced = len([p for p in change.write if not p.startswith(".tito/") and p not in change.texts])
    planned.said.append(f"{'the course':<16} {replaced} files written, {len(change.remove)} removed")
    left = [p for p in gone if p not in change.remove]
    planned.said += [f"{path}: not in the release any more; you had changed it, so it stays" for path in left]
    planned.said += [f"{path}: you had changed it; yours is kept, the release's is in its place" for path in aside]


def _changed(course: Course, before: dict[str, str], path: str) -> bool:
    """Whether a file differs from the release that was here; generated ones never count as changed."""
    if path not in before or path.startswith((".tito/", f"{course.package.name}/core/")):
        return False
    return _sha((course.root / path).read_bytes()) != before[path]


def _successors(course: Course, release: Course) -> dict[str, Module]:
    """The release's chapter for each that is here: of the same name, or, renamed, with most of its exercises."""
    new = {m.name: m for m in release.every_module}
    free = [m for m in release.every_module if m.name not in {x.name for x in course.every_module}]
    found = {}
    for module in course.every_module:
        if module.name in new:
            found[module.name] = new[module.name]
            continue
        names = set(workspace.reference_chapter(course, module).exercises)
        best = max(free, key=lambda m: len(names & set(m.chapter.exercises)), default=None)
        if best and 2 * len(names & set(best.chapter.exercises)) > len(names):
            found[module.name] = best
    return found


def _left_over(course: Course, files: dict[str, bytes], successors: dict[str, Module]) -> list[str]:
    """The files of chapters that have another place in the release, or none, and what they were exported to."""
    old = [m for m in course.every_module if _moved(m, successors)]
    made = [(m.dev, m.directory / "README.md", m.directory / "module.yaml", export.target(course, m)) for m in old]
    made += [(workspace.reference(course, m),) for m in old if successors.get(m.name, m).name != m.name]
    own = [f.relative_to(course.root).as_posix() for files in made for f in files if f.exists()]
    core = [f"{course.package.name}/core/{f.name}" for f in (course.package / "core").glob("*.py")]
    own += [p for p in core if p not in own and GENERATED in current(course.root / p)]
    return [p for p in own if p not in files]


def _moved(module: Module, successors: dict[str, Module]) -> bool:
    return module.name not in successors or successors[module.name].id != module.id


def _keep(course: Course, path: str, texts: dict[str, str]) -> bool:
    """Save a chapter that was edited while an update was interrupted; False for any other file."""
    module = next((m for m in course.every_module if m.dev_path == path), None)
    if module is None or path not in texts:
        return False
    attempts.save(course, module, "before-update")
    return True


def _test_again(course: Course, name: str) -> str:
    """Test a chapter whose own version was in the package; where it passes, `tito test` puts it there again."""
    home = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([str(course.root), home])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tito", "test", name], cwd=course.root, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    if done.returncode == 0:
        return f"{name:<16} passes the new tests; the package holds your version"
    return f"{name:<16} does not pass the new tests: the package holds the release's version; tito test {name} says why"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def conflict_error(planned: Plan, again: str) -> CourseError:
    names = list(dict.fromkeys(f"{module.name}:{conflict.name}" for module, conflict in planned.conflicts))
    return CourseError(
        f"{len(planned.conflicts)} changes cannot be merged, so nothing was changed. Choose, and both are kept:\n"
        f"  {again} --take mine       your version, wherever both changed\n"
        f"  {again} --take release    the release's\n"
        f"  {again} --take {names[0]}=mine --take release"
    )
