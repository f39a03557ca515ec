"""What `tito` keeps in `.tito/`: references, attempts and results. Chapters are kept by name, not by number.

Nothing that a student typed is ever lost: whatever replaces a chapter's text saves that text first, writes the
new one beside it, and puts it in place in one step.
"""

from __future__ import annotations

import ast
import codecs
import functools
import hashlib
import json
import re
import textwrap
from pathlib import Path

from tito import attempts, marks, tested
from tito.chapter import Chapter, Region, split_lines
from tito.course import Course, Module
from tito.errors import CourseError, UsageError
from tito.files import locked, read, replace_all, write_atomically

# The longer ones first: that of UTF-32 begins as that of UTF-16 does.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def alone(course: Course):
    """Hold the course's lock: two terminals do not write at once."""
    return locked(course.private / "write.lock", "tito: another tito is writing in this course; waiting for it ...")


def _alone(function):
    """Hold the lock, and read the chapter when it is held."""

    @functools.wraps(function)
    def held(course: Course, module: Module, *rest, **named):
        with alone(course):
            return function(course, Module(module.root, module.directory), *rest, **named)

    return held


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
    if not file.exists():
        return False
    return bool(unreadable(course, module) or read(file) != module.chapter.text or result(course, module))


def recoded(module: Module) -> str:
    """What a chapter's file holds that was saved in another encoding than UTF-8; "" where that is not certain."""
    data = attempts.stands_there(module)
    marked = [name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)]
    try:
        text = data.decode((marked or ["cp1252"])[0])
        if not marked:
            ast.parse(text)
    except (UnicodeError, SyntaxError, ValueError):
        return ""
    text = text.replace("\r\n", "\n")
    return text if Chapter("", text).exercises else ""


@_alone
def recode(course: Course, module: Module) -> str:
    """Write a chapter's file again in UTF-8, and say so; the bytes that stood there are kept."""
    _replace(course, module, recoded(module), "in-another-encoding")
    return f"{module.dev_path} is in UTF-8 now; as it was saved, it is kept: tito undo {module.id} --list"


def is_gone(module: Module) -> bool:
    """Whether nothing stands in the chapter's file."""
    return not attempts.stands_there(module).strip()


def unreadable(course: Course, module: Module) -> str:
    """Why nothing can be read in the chapter's file, and what brings it back; "" where something can."""
    what, begun = "is empty" if module.dev.exists() else "is missing", is_started(course, module)
    try:
        if module.chapter.text.strip():
            return ""
        if begun:
            return f"{module.dev_path} {what}: tito doctor --fix brings it back."
    except CourseError:
        what = "is not text in UTF-8"
    back = "take it again from your release of the course."
    if what == "is not text in UTF-8" and begun:
        back = f"save it as UTF-8 in your editor, or let tito doctor --fix try it. tito undo {module.id} --list shows"
        return f"{module.dev_path} {what}: {back}\n  what is kept of it."
    if any(map(attempts.is_work, attempts.kept(course, module))):
        back = f"tito undo {module.id} brings back an earlier version."
    elif begun:
        back = f"save it as UTF-8 in your editor, or begin it anew: tito reset {module.id}"
    return f"{module.dev_path} {what}: {back}"


def started(course: Course) -> set[str]:
    """Names of the chapters in progress."""
    return {module.name for module in course.modules if is_started(course, module)}


def reference_chapter(course: Course, module: Module) -> Chapter:
    """The chapter whose tests count: the kept one, the one handed out, or the one that stands there."""
    for kept in (reference(course, module), handed_out_file(course, module)):
        if kept.exists():
            return Chapter.read(kept, kept.relative_to(course.root).as_posix())
    return module.chapter


@_alone
def start(course: Course, module: Module, handed_out: str = "") -> bool:
    """Keep the reference and blank the exercises. False where the chapter is in progress: then nothing changes.

    With the text that was `handed_out`, the chapter's file holds work already: it stays as it is.
    """
    kept, text = reference(course, module), module.chapter.text
    if not handed_out and not kept.exists() and handed_out_file(course, module).exists():
        write_atomically(kept, read(handed_out_file(course, module)))
        return True
    if handed_out:
        if kept.exists():  # a damaged one
            kept.replace(kept.with_name(f"{kept.name}.replaced"))
        write_atomically(kept, handed_out)
        return True
    if is_started(course, module) and not (kept.exists() and read(kept) == text and _interrupted(course, module)):
        return False
    attempts.save(course, module, attempts.BEFORE_START)
    replace_all({kept: text, module.dev: blanked(module.chapter)})
    return True


def _interrupted(course: Course, module: Module) -> bool:
    """Whether it was `start`, or its undoing, that kept a text last; the chapter then holds its reference half-way."""
    newest = next(iter(attempts.kept(course, module)), None)
    begun = newest is None or attempts.why(newest) in ("before start", "before undo of start")
    return begun and has_solutions(course, module)


@_alone
def reset(course: Course, module: Module, exercise: str = "") -> Path | None:
    """Blank an exercise, or the whole chapter; where the attempt is kept, None where nothing was to do."""
    handed_out = _in_progress(course, module)
    if not exercise:
        text = blanked(handed_out)
        text = text if unreadable(course, module) else with_header(text, module.chapter)
        return _replace(course, module, text, "before-reset")
    region = _exercise(course, module, handed_out, exercise)
    text = with_region(module.chapter, region, blank(handed_out, handed_out.exercises[exercise], region.indent))
    return _replace(course, module, text, f"before-reset-of-{exercise}")


@_alone
def solution(course: Course, module: Module, exercise: str = "") -> Path | None:
    """Put the reference solution in; where the attempt is kept, None where nothing was to do."""
    handed_out = _in_progress(course, module)
    missing = unsolved(handed_out)
    if exercise in missing or not exercise and missing:
        raise CourseError(
            f"this edition of the course holds no solution of {exercise or module.id}: ask whoever gave it to you."
        )
    if not exercise:
        text = with_header(without_notes(handed_out), module.chapter)
        return _replace(course, module, text, "before-solution")
    region, solved = _exercise(course, module, handed_out, exercise), handed_out.exercises[exercise]
    text = with_region(module.chapter, region, _indented(textwrap.dedent(solved.text), region.indent))
    return _replace(course, module, text, f"before-solution-of-{exercise}")


@_alone
def undo(course: Course, module: Module, version: Path | None = None, exercise: str = "") -> tuple[str, Path | None]:
    """Put an earlier version back; what was undone, and where what it replaced is kept.

    Without `version`, it is the newest one that differs from what stands there, in that exercise where one is named.
    What was in progress is in progress again, with its reference; the chapter as it was before `start` is not.
    """
    if exercise:
        return _undo_exercise(course, module, version, exercise)
    found = version or next(iter(attempts.different(course, module)), None)
    by_start = reference(course, module).exists() and not handed_out_file(course, module).exists()
    if by_start and (is_own(reference_chapter(course, module)) if found is None else not attempts.is_work(found)):
        return "before start", _undo_start(course, module)
    if found is None:
        raise UsageError(
            f"nothing is kept of {module.id} that differs from what stands there: no command has replaced it.\n"
            f"  tito undo {module.id} --list shows what is kept."
        )
    name = attempts.why(found)
    if attempts.is_work(found) and not is_started(course, module):
        return name, _go_on(course, module, found.read_bytes())
    return name, _replace(course, module, found.read_bytes(), "before-undo")


def _undo_start(course: Course, module: Module) -> Path:
    """Hand the reference back, to the chapter and to the package."""
    from tito import export

    handed_out = reference_chapter(course, module)
    if not is_own(handed_out):
        raise CourseError(f"the reference of {module.id} in .tito is damaged. Nothing was changed: see tito doctor.")
    attempts.save(course, module, attempts.BEFORE_START, handed_out.text.encode())
    saved = attempts.save(course, module, "before-undo-of-start")
    exported = cached_export(course, module, handed_out)
    replace_all({module.dev: handed_out.text, export.target(course, module): exported})
    reference(course, module).unlink()
    return saved


def _go_on(course: Course, module: Module, work: bytes) -> Path | None:
    """Put work into a chapter that is not in progress, and its reference into `.tito`."""
    kept = kept_reference(course, module)
    if kept is None:
        raise CourseError(
            f"{module.id} is not in progress, and the reference of that work is not kept, so nothing was changed.\n"
            f"  tito start {module.id} begins the chapter; then tito undo {module.id} --list, and undo with a number."
        )
    own = kept.read_bytes()
    why = attempts.BEFORE_START if attempts.stands_there(module) == own else "before-undo"
    saved = attempts.save(course, module, why)
    replace_all({reference(course, module): own, module.dev: work})
    return saved


def kept_reference(course: Course, module: Module) -> Path | None:
    """The chapter as it was before its last start, where it is kept among the earlier versions."""
    found = (file for file in attempts.kept(course, module) if not attempts.is_work(file))
    return next((file for file in found if is_own(Chapter.read(file))), None)


@_alone
def replace(course: Course, module: Module, found: str, text: str, why: str) -> Path | None:
    """Put a text in the place of the one that was found there; where that one is kept."""
    if module.chapter.text != found:
        raise CourseError(f"{module.dev_path} was changed just now by somebody else. Nothing was changed: try again.")
    return _replace(course, module, text, why)


def _undo_exercise(course: Course, module: Module, version: Path | None, name: str) -> tuple[str, Path | None]:
    from tito import lost

    kept = any(map(attempts.is_work, attempts.kept(course, module)))
    if kept and not is_started(course, module) and not lost.is_lost(course, module):
        raise CourseError(
            f"{module.id} is not in progress, so one exercise of it cannot be brought back. Nothing was changed.\n"
            f"  Bring back your work on the whole chapter first: tito undo {module.id} --list shows what is kept."
        )
    _in_progress(course, module)
    region = _exercise(course, module, reference_chapter(course, module), name)
    for attempt in [version] if version else filter(attempts.is_work, attempts.kept(course, module)):
        try:
            earlier = Chapter.read(attempt).exercises.get(name)
        except CourseError:
            continue  # a file that was no text: it is brought back whole or not at all
        if earlier is None:
            continue
        text = _indented(textwrap.dedent(earlier.text), region.indent)
        if version or text != region.text:
            changed = with_region(module.chapter, region, text)
            return attempts.why(attempt), _replace(course, module, changed, f"before-undo-of-{name}")
    raise UsageError(f"nothing is kept of {name} that differs from what stands there.")


@_alone
def restore(course: Course, module: Module) -> str:
    """Bring back a chapter's file that is gone or empty, and say what stands there now.

    It is what was tested last, unless something was kept since: then the version that passed last, where the last test
    passed, else the one that was kept last. What was tested and does not come back is among the earlier versions then.
    """
    last = result(course, module)
    passed = last.get("source") if last.get("passed") is True else None
    tested.adopt(course, module)
    replaced = [f for f in attempts.kept(course, module) if attempts.is_work(f)]
    found = [(attempts.when(f), _text(f), attempts.why(f)) for f in replaced] + tested.versions(course, module)
    found = sorted((version for version in found if version[1].strip()), reverse=True)
    if not found:
        write_atomically(module.dev, blanked(reference_chapter(course, module)))
        return f"{module.dev_path} is blank now: no version of it was kept{_newer_in_package(course, module)}"
    best = found[0]
    if best[2] not in tested.KEPT.values():
        best = next((version for version in found if fingerprint(version[1]) == passed), best)
    when, text, why = best
    write_atomically(module.dev, text)
    which = ", the version that passed last," if fingerprint(text) == passed else ""
    return (
        f"{module.dev_path}{which} is as it was {why}, {when.strftime('%Y-%m-%d %H:%M:%S')}; "
        f"tito undo {module.id} --list shows the others{_newer_in_package(course, module)}"
    )


def _newer_in_package(course: Course, module: Module) -> str:
    """Which exercises the package holds as the student wrote them, and the chapter's file otherwise."""
    from tito import derived, export

    target = export.target(course, module)
    packaged = derived.current(target)
    if not packaged or fingerprint(packaged) != result(course, module).get("installed"):
        return ""
    if packaged == cached_export(course, module, reference_chapter(course, module)):
        return ""
    own = Module(module.root, module.directory).chapter.exercises
    held = {r.name: textwrap.dedent(r.text) for r in Chapter("", packaged).regions}
    names = [name for name, text in held.items() if name in own and textwrap.dedent(own[name].text) != text]
    if not names:
        return ""
    file = derived.relative(course, target)
    return f".\n  {file} holds your version that passed last, with another {', '.join(names)}"


def _text(attempt: Path) -> str:
    """What is kept in a file; nothing where that is no text."""
    try:
        return Chapter.read(attempt).text
    except CourseError:
        return ""


def is_own(chapter: Chapter) -> bool:
    """Whether a chapter is the course's own: solved, and with its notes, which `tito` leaves in no work."""
    return chapter.has_notes and not unsolved(chapter)


def with_header(text: str, chapter: Chapter) -> str:
    """The text under the header of `chapter`, where JupyterLab has paired that one with a notebook."""
    own, handed_out = _header(chapter.text), _header(text)
    if "\n#     formats: " not in own:
        return text
    return own + text.removeprefix(handed_out)


def _header(text: str) -> str:
    """The lines before the first cell."""
    first = text.find("\n# %%") + 1
    return text[:first]


def blanked(chapter: Chapter) -> str:
    """The chapter's text with every exercise blank, and without the notes."""
    cuts = [(r.begin, r.end - 1, blank(chapter, r, r.indent)) for r in chapter.regions]
    return _cut(chapter, cuts + _note_lines(chapter))


def without_notes(chapter: Chapter) -> str:
    """The chapter's text without the notes, which are not for students."""
    return _cut(chapter, _note_lines(chapter))


def _note_lines(chapter: Chapter) -> list[tuple[int, int, str]]:
    ends = [cell.line for cell in chapter.cells[1:]] + [len(split_lines(chapter.text)) + 1]
    return [(c.line - 1, end - 1, "") for c, end in zip(chapter.cells, ends) if c.is_notes]


def _cut(chapter: Chapter, cuts: list[tuple[int, int, str]]) -> str:
    """The text with some slices of its lines replaced."""
    lines = split_lines(chapter.text, keepends=True)
    for begin, end, text in sorted(cuts, reverse=True):
        lines[begin:end] = [text]
    return "".join(lines)


def blank(chapter: Chapter, region: Region, indent: str) -> str:
    """What stands in an unsolved region: the notes' own blank, or a line that raises.

    A chapter that was handed out blank has no notes any more; its regions are their own blanks.
    """
    own = None
    if not region.indent and region.name in chapter.exercises:
        own = chapter.blanks().get(region.name, chapter.exercises[region.name].text)
    lines = own or f"# YOUR CODE HERE\n{_raises(region)}"
    return _indented(lines.rstrip() + "\n", indent)


def with_region(chapter: Chapter, region: Region, text: str) -> str:
    """The chapter's text with the lines between a region's markers replaced."""
    return _cut(chapter, [(region.begin, region.end - 1, text)])


def unsolved(chapter: Chapter, handed_out: Chapter | None = None) -> set[str]:
    """Exercises whose region still holds its blank; the notes are those of the chapter that was handed out."""
    known = handed_out or chapter
    return {r.name for r in chapter.regions if _is_blank(r, known)}


def untouched(chapter: Chapter, handed_out: Chapter) -> set[str]:
    """Exercises where nothing but the blank stands: one with lines of the student's own is tested like a solved one."""
    return {name for name in unsolved(chapter, handed_out) if not line_that_raises(chapter, name)}


def line_that_raises(chapter: Chapter, exercise: str) -> int:
    """Where the blank's line still stands in an exercise, beside lines of the student's own; 0 where it does not."""
    region = chapter.exercises.get(exercise)
    code = _code(region) if region else []
    if len(code) < 2 or _raises(region) not in code:
        return 0
    lines = [line.strip() for line in region.text.split("\n")]
    return region.begin + 1 + lines.index(_raises(region))


def raises(chapter: Chapter, exercise: str) -> bool:
    """Whether an exercise that is to do says so itself, by an exception, when it is called."""
    region = chapter.exercises.get(exercise)
    return region is not None and ("unsolved(" in region.text or _raises(region) in _code(region))


def _code(region: Region) -> list[str]:
    return [line.strip() for line in region.text.split("\n") if line.strip() and not line.lstrip().startswith("#")]


def _raises(region: Region) -> str:
    return f'raise NotImplementedError("exercise {region.name}")'


def _is_blank(region: Region, handed_out: Chapter) -> bool:
    if not _code(region):
        return True  # comments alone; told without reading the notes, which takes longer than all else here
    raises = _raises(region) in region.text
    if region.indent or raises:
        return raises
    solved = handed_out.exercises.get(region.name)
    if solved is region and not handed_out.has_notes:
        calls = rf"""\bunsolved\(\s*["']{region.name}["']"""  # no other text says what its blank is
        return re.search(calls, region.text) is not None
    if solved is not None and solved is not region and solved.text == region.text:
        return not handed_out.has_notes  # else the notes hold another blank
    return region.text.split() == blank(handed_out, region, "").split()


def has_solutions(course: Course, module: Module) -> bool:
    """Whether this edition holds the chapter's solutions."""
    return not unsolved(reference_chapter(course, module))


def _in_progress(course: Course, module: Module) -> Chapter:
    from tito import lost

    if lost.is_lost(course, module):
        raise CourseError(lost.explanation(course, module))
    if not is_started(course, module):
        raise CourseError(
            f"{module.id} is not in progress: it holds the course's own solutions. tito start {module.id} blanks them."
        )
    return reference_chapter(course, module)


def reference_exercise(course: Course, module: Module, name: str) -> Region:
    """An exercise as the course has it; where there is none of that name, the nearest names are said."""
    return _known(module, reference_chapter(course, module), name)


def _known(module: Module, handed_out: Chapter, name: str) -> Region:
    if name not in handed_out.exercises:
        import difflib

        close = difflib.get_close_matches(name, handed_out.exercises, n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(handed_out.exercises)}."
        raise UsageError(f"{module.id} has no exercise {name!r}. {hint}")
    return handed_out.exercises[name]


def _exercise(course: Course, module: Module, handed_out: Chapter, name: str) -> Region:
    """The exercise's region in the student's file."""
    _known(module, handed_out, name)
    if not module.chapter.text.strip():
        raise CourseError(unreadable(course, module))
    for mark in marks.lost(module.chapter, handed_out):
        if mark.exercise == name:
            raise CourseError(
                f"{mark.sentence(module.dev_path)}\n"
                f"  Or begin the whole chapter anew: tito reset {module.id}   (what you wrote is kept)"
            )
    return module.chapter.exercises[name]


def _replace(course: Course, module: Module, text: str | bytes, why: str) -> Path | None:
    """Keep what stands in the chapter, then put the new text in its place."""
    new = text.encode() if isinstance(text, str) else text
    if new == attempts.stands_there(module):
        return None
    kept = attempts.save(course, module, why)
    write_atomically(module.dev, new)
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
