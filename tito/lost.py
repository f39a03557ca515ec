"""Work whose reference is not in `.tito`, as in a new clone of a fork: where the course's own version can be found.

Whatever holds work, blank exercises above all, is never taken for the course's own version. `tito` says instead where
that one is: among the earlier versions, or in a commit of git's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tito import workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.errors import CourseError

UNKNOWN = "FOLDER_OR_ZIP"
MOST_COMMITS = 50


def is_lost(course: Course, module: Module) -> bool:
    """Whether the chapter's file holds work, and nothing here is the reference."""
    if workspace.is_started(course, module):
        return False
    return bool(module.chapter.exercises) and not workspace.is_own(module.chapter)


def is_damaged(course: Course, module: Module) -> bool:
    """Whether the kept reference is none: without exercises, or blank where the course was not handed out blank."""
    from tito import notes

    kept = workspace.reference_chapter(course, module)
    blank = workspace.handed_out_file(course, module).exists() or notes.notes_file(module).exists()
    kept_blank = not blank and bool(workspace.unsolved(kept))
    return workspace.is_started(course, module) and (not kept.exercises or kept_blank)


def found(course: Course, module: Module) -> str:
    """Where the course's own version is, as `--from` takes it; "" where nobody here knows."""
    kept = workspace.kept_reference(course, module)
    if kept:
        return kept.relative_to(course.root).as_posix()
    return next(_commits(course, module), "")


def command(course: Course, module: Module) -> str:
    """What goes on with the work."""
    return f"tito start {module.id} --from {found(course, module) or UNKNOWN}"


def way_back(course: Course, module: Module) -> str:
    """The same, where it is sure that the file holds a student's work, and is no new chapter without notes; else ""."""
    if workspace.unreadable(course, module):
        return ""
    if is_lost(course, module) and (workspace.unsolved(module.chapter) or found(course, module)):
        return command(course, module)
    return ""


def explanation(course: Course, module: Module) -> str:
    """What is wrong, and what to type."""
    where = found(course, module)
    release = "" if where else ", the release that you began with"
    return (
        f"{module.dev_path} holds work, but its reference is not in .tito, so nothing was changed.\n"
        f"  Go on with your work:  tito start {module.id} --from {where or UNKNOWN}{release}"
    )


def reference(course: Course, module: Module, where: str) -> str:
    """The course's own version of the chapter: in a release, a git revision, or a chapter's file."""
    file = Path(where).expanduser()
    file = file if file.is_file() else course.root / where
    if file.suffix == ".py" and file.is_file():
        kept, blank = Chapter.read(file), False
    else:
        from tito import sources

        with sources.opened(course, where) as release:
            theirs = next((m for m in release.every_module if m.name == module.name), None)
            kept = workspace.reference_chapter(release, theirs) if theirs else Chapter("", "")
            blank = theirs is not None and workspace.handed_out_file(release, theirs).exists()
    if not set(kept.exercises) & set(module.chapter.exercises):
        raise CourseError(f"{where} holds no chapter with the exercises of {module.dev_path}. Nothing was changed.")
    if not (blank or workspace.is_own(kept)):
        raise CourseError(
            f"{where} holds work on {module.id} too, and not the course's own version. Nothing was changed.\n"
            f"  {command(course, module)}   names that one"
        )
    return kept.text


def refuse(course: Course, modules: list[Module]) -> None:
    """Raise where a chapter's open exercises would become the course's own."""
    for module in modules:
        if is_lost(course, module) and workspace.unsolved(module.chapter):
            raise CourseError(explanation(course, module))


def _commits(course: Course, module: Module) -> Iterator[str]:
    """The commits that hold the course's own version: those that led to what is checked out first, the newest first."""
    if not (course.root / ".git").exists():
        return
    handed_out = workspace.handed_out_file(course, module).relative_to(course.root).as_posix()
    for branches in ("HEAD", "--remotes"):
        paths = (module.dev_path, handed_out)
        for commit in _git(course, "log", f"-{MOST_COMMITS}", "--format=%h", branches, "--", *paths).split():
            own, blank = (_git(course, "show", f"{commit}:./{path}") for path in paths)
            if blank or workspace.is_own(Chapter(module.dev_path, own)):
                yield commit


def _git(course: Course, *arguments: str) -> str:
    """What git answers; nothing where there is no git, no commit yet, or no such file in it."""
    from tito import sources

    try:
        return sources.git(course, *arguments)
    except CourseError:
        return ""
