"""What `tito` keeps in `.tito/`: references, attempts and results. Chapters are kept by name, not by number.

Nothing that a student typed is ever lost: whatever replaces a chapter's text saves that text first, writes the
new one beside it, and puts it in place in one step.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from datetime import datetime
from pathlib import Path

from tito.chapter import Chapter, Region
from tito.course import Course, Module
from tito.errors import CourseError, UsageError
from tito.files import read, replace_all, write_atomically


def reference(course: Course, module: Module) -> Path:
    """Where the chapter is kept as it was handed out."""
    return course.private / "reference" / module.name / f"{module.name}_dev.py"


def handed_out_file(course: Course, module: Module) -> Path:
    """Where a students' edition keeps the blank chapter, whose tests count there until `reference` holds another."""
    return course.source.parent / "handed_out" / module.name / f"{module.name}_dev.py"


def is_started(course: Course, module: Module) -> bool:
    """Whether the chapter is the student's: begun here, or handed out blank."""
    return reference(course, module).exists() or handed_out_file(course, module).exists()


def is_begun(course: Course, module: Module) -> bool:
    """Whether the student has begun the chapter: by `tito start`, or by changing or testing one that was handed out."""
    if reference(course, module).exists():
        return True
    file = handed_out_file(course, module)
    return file.exists() and (read(file) != module.chapter.text or bool(result(course, module)))


def started(course: Course) -> set[str]:
    """Names of the chapters in progress."""
    return {module.name for module in course.modules if is_started(course, module)}


def reference_chapter(course: Course, module: Module) -> Chapter:
    """The chapter whose tests count: the kept one, the one handed out, or the one that stands there."""
    for kept in (reference(course, module), handed_out_file(course, module)):
        if kept.exists():
            return Chapter.read(kept, kept.relative_to(course.root).as_posix())
    return module.chapter


def start(course: Course, module: Module) -> bool:
    """Keep the reference and blank the exercises. False where the chapter is in progress: then nothing changes."""
    kept, text = reference(course, module), module.chapter.text
    if not kept.exists() and handed_out_file(course, module).exists():
        write_atomically(kept, read(handed_out_file(course, module)))
        return True
    interrupted = kept.exists() and read(kept) == text and not attempts(course, module)
    if is_started(course, module) and not interrupted:
        return False
    replace_all({kept: text, module.dev: blanked(module.chapter)})
    return True


def reset(course: Course, module: Module, exercise: str = "") -> Path:
    """Blank an exercise, or the whole chapter; where the attempt is kept."""
    handed_out = _in_progress(course, module)
    if not exercise:
        return _replace(course, module, blanked(handed_out), "before-reset")
    region = _exercise(module, handed_out, exercise)
    text = with_region(module.chapter, region, blank(handed_out, handed_out.exercises[exercise], region.indent))
    return _replace(course, module, text, f"before-reset-of-{exercise}")


def solution(course: Course, module: Module, exercise: str = "") -> Path:
    """Put the reference solution in; where the attempt is kept."""
    handed_out = _in_progress(course, module)
    missing = unsolved(handed_out)
    if exercise in missing or not exercise and missing:
        raise CourseError(
            f"this edition of the course holds no solution of {exercise or module.id}: ask whoever gave it to you."
        )
    if not exercise:
        return _replace(course, module, handed_out.text, "before-solution")
    region, solved = _exercise(module, handed_out, exercise), handed_out.exercises[exercise]
    text = with_region(module.chapter, region, _indented(textwrap.dedent(solved.text), region.indent))
    return _replace(course, module, text, f"before-solution-of-{exercise}")


def blanked(chapter: Chapter) -> str:
    """The chapter's text with every exercise blank, and without the notes."""
    cuts = [(r.begin, r.end - 1, blank(chapter, r, r.indent)) for r in chapter.regions]
    return _cut(chapter, cuts + _note_lines(chapter))


def without_notes(chapter: Chapter) -> str:
    """The chapter's text without the notes, which are not for students."""
    return _cut(chapter, _note_lines(chapter))


def _note_lines(chapter: Chapter) -> list[tuple[int, int, str]]:
    ends = [cell.line for cell in chapter.cells[1:]] + [len(chapter.text.splitlines()) + 1]
    return [(c.line - 1, end - 1, "") for c, end in zip(chapter.cells, ends, strict=True) if c.is_notes]


def _cut(chapter: Chapter, cuts: list[tuple[int, int, str]]) -> str:
    """The text with some slices of its lines replaced."""
    lines = chapter.text.splitlines(keepends=True)
    for begin, end, text in sorted(cuts, reverse=True):
        lines[begin:end] = [text]
    return "".join(lines)


def blank(chapter: Chapter, region: Region, indent: str) -> str:
    """What stands in an unsolved region: the notes' own blank, or a line that raises.

    A chapter that was handed out blank has no notes any more; its regions are their own blanks.
    """
    own = None if region.indent else chapter.notes().get(region.name, {}).get("blank", region.text)
    lines = own or f'# YOUR CODE HERE\nraise NotImplementedError("exercise {region.name}")'
    return _indented(lines.rstrip() + "\n", indent)


def with_region(chapter: Chapter, region: Region, text: str) -> str:
    """The chapter's text with the lines between a region's markers replaced."""
    return _cut(chapter, [(region.begin, region.end - 1, text)])


def unsolved(chapter: Chapter, handed_out: Chapter | None = None) -> set[str]:
    """Exercises whose region still holds its blank; the notes are those of the chapter that was handed out."""
    known = handed_out or chapter
    return {r.name for r in chapter.regions if _is_blank(r, known)}


def _is_blank(region: Region, handed_out: Chapter) -> bool:
    raises = f'raise NotImplementedError("exercise {region.name}")' in region.text
    if region.indent or raises:
        return raises
    if all(line.lstrip().startswith("#") for line in region.text.split("\n") if line.strip()):
        return True  # comments alone; told without reading the notes, which takes longer than all else here
    solved = handed_out.exercises.get(region.name)
    if solved is not None and solved is not region and solved.text == region.text:
        return not any(cell.is_notes for cell in handed_out.cells)  # else the notes hold another blank
    return region.text.split() == blank(handed_out, region, "").split()


def has_solutions(course: Course, module: Module) -> bool:
    """Whether this edition holds the chapter's solutions."""
    return not unsolved(reference_chapter(course, module))


def attempts(course: Course, module: Module) -> list[Path]:
    """What was kept of earlier versions of the chapter, the oldest first."""
    return sorted((course.private / "attempts" / module.name).glob("*.py"))


def _in_progress(course: Course, module: Module) -> Chapter:
    if not is_started(course, module):
        raise CourseError(
            f"{module.id} is not in progress: it holds the course's own solutions. tito start {module.id} blanks them."
        )
    return reference_chapter(course, module)


def _exercise(module: Module, handed_out: Chapter, name: str) -> Region:
    """The exercise's region in the student's file."""
    if name not in handed_out.exercises:
        import difflib

        close = difflib.get_close_matches(name, handed_out.exercises, n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(handed_out.exercises)}."
        raise UsageError(f"{module.id} has no exercise {name!r}. {hint}")
    found = [r for r in module.chapter.regions if r.name == name]
    if len(found) != 1:
        raise CourseError(
            f"{module.dev_path} holds the markers of {name} {len(found)} times instead of once.\n"
            f"  Put back `### BEGIN SOLUTION {name}` and `### END SOLUTION`, or begin the whole chapter anew:\n"
            f"  tito reset {module.id}   (what you wrote is kept)"
        )
    return found[0]


def _replace(course: Course, module: Module, text: str, why: str) -> Path:
    """Keep what stands in the chapter, then put the new text in its place."""
    now = datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")
    kept = course.private / "attempts" / module.name / f"{now}-{why}.py"
    write_atomically(kept, module.chapter.text)
    write_atomically(module.dev, text)
    return kept


def _indented(text: str, indent: str) -> str:
    return textwrap.indent(text, indent)


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def result(course: Course, module: Module) -> dict:
    """What came of the chapter's last complete test; empty where there was none."""
    try:
        found = json.loads(read(_result_file(course, module)))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep_result(course: Course, module: Module, outcome: dict) -> None:
    try:
        write_atomically(_result_file(course, module), json.dumps(outcome, indent=1) + "\n")
    except OSError:
        return  # a read-only checkout: the result has been shown, it is not remembered


def _result_file(course: Course, module: Module) -> Path:
    return course.private / "results" / f"{module.name}.json"


def cached_export(course: Course, module: Module, chapter: Chapter) -> str:
    """The export of a chapter or of its reference, made anew only where its text has changed."""
    from importlib.metadata import version

    from tito import export

    key = fingerprint(f"{version('nbdev')}\n{read(Path(export.__file__))}\n{chapter.path}\n{chapter.text}")
    file = course.private / "cache" / Path(chapter.path).parent.name / f"{module.name}.py"
    try:
        known, _, text = read(file).partition("\n")
        if known == f"# {key}":
            return text
    except (OSError, ValueError):
        pass  # nothing kept yet
    text = export.generate(course, module, chapter.text)
    try:
        write_atomically(file, f"# {key}\n{text}")
    except OSError:
        return text  # a read-only checkout: made anew each time
    return text
