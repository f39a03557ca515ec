"""JupyterLab's files, for chapters that change on disk while a notebook is open on them.

A notebook is saved as a whole, from what it held when it was loaded. Where the chapter's file is not what this server
last loaded or saved, because `tito reset` or an editor wrote it, what is on disk is kept before the notebook replaces
it: `tito undo M --list` shows it.
"""

from __future__ import annotations

from pathlib import Path

from jupytext import TextFileContentsManager

from tito import attempts, workspace
from tito.course import Course, Module
from tito.errors import CourseError


class ContentsManager(TextFileContentsManager):
    """jupytext's, that keeps what a save would replace unseen."""

    def get(self, path, content=True, *rest, **more):
        if content:
            self._look(path)
        return super().get(path, content, *rest, **more)

    def save(self, model, path=""):
        self._keep(path)
        saved = super().save(model, path)
        self._look(path)
        return saved

    def _look(self, path: str) -> None:
        """Remember what stands in the chapter's file."""
        if found := self._chapter(path):
            self._seen[found[1].dev] = attempts.stands_there(found[1])

    def _keep(self, path: str) -> None:
        if not (found := self._chapter(path)):
            return
        course, module = found
        try:
            if self._seen.get(module.dev) == attempts.stands_there(module):
                return
            with workspace.alone(course):
                kept = attempts.save(course, module, "before-save-of-an-open-notebook")
        except OSError as error:
            self.log.warning("%s was changed on disk and could not be kept: %s", module.dev_path, error)
            return
        self.log.warning(
            "%s was changed on disk after this notebook was opened. What stood there is kept: %s; "
            "tito undo %s brings it back.",
            module.dev_path, kept.relative_to(course.root).as_posix(), module.id,
        )  # fmt: skip

    @property
    def _seen(self) -> dict[Path, bytes]:
        return self.__dict__.setdefault("_chapters_seen", {})

    def _chapter(self, path: str) -> tuple[Course, Module] | None:
        """The chapter that a path is the file of, or is paired with."""
        file = Path(self._get_os_path(path)).resolve().with_suffix(".py")
        if not file.name.endswith("_dev.py") or not file.exists():
            return None
        try:
            course = Course.find(file.parent)
            return next(((course, m) for m in course.every_module if m.dev == file), None)
        except CourseError:
            return None
