"""The environment that `tito` runs in: made on the first call, entered on every later one.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tito.files import locked

COURSE = ("course",)
# Set to 1 before NumPy is imported, they hold the library behind its matrix product to one thread.
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class SetupError(Exception):
    """The environment could not be made."""


class Environment:
    """An environment of the checkout's own, usually `.venv`, and what was installed there.

    `tinytorch-begun` in it is written first and says that the directory is ours; `tinytorch-pyproject.toml`,
    a copy of the file that was installed from, is written last and says that the set-up is complete.
    """

    def __init__(self, root: Path, name: str = ".venv"):
        self.root = root
        self.path = root / name
        self.begun = self.path / "tinytorch-begun"
        self.done = self.path / "tinytorch-pyproject.toml"
        self.extras = self.path / "tinytorch-extras"
        scripts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        self.python = self.path.joinpath(*scripts)

    @property
    def ready(self) -> bool:
        """Whether it holds what pyproject.toml asks for."""
        try:
            return self.done.read_bytes() == (self.root / "pyproject.toml").read_bytes() and self.python.exists()
        except OSError:
            return False

    @property
    def entered(self) -> bool:
        return Path(sys.prefix) == self.path

    def installed_extras(self) -> tuple[str, ...]:
        return tuple(self.extras.read_text(encoding="utf-8").split()) if self.extras.exists() else COURSE

    def prepare(self, *more: str) -> None:
        """Make the environment, or bring it up to date, and install further extras."""
        with self._alone():
            extras = tuple(dict.fromkeys((*self.installed_extras(), *more)))
            if self.ready and extras == self.installed_extras():
                return  # another terminal was faster
            wanted = requirements(self.root, extras)
            if not self._same_dependencies(extras):
                _say(
                    f"tito: installing {', '.join(extras)} into {self.path.name}; "
                    "this happens once and takes a minute or less ..."
                )
                self._create()
                self.done.unlink(missing_ok=True)
                self._install(wanted)
                self._add_checkout()
            self.extras.write_text(" ".join(extras), encoding="utf-8")
            shutil.copyfile(self.root / "pyproject.toml", self.done)

    def renew(self, *broken: str) -> None:
        """Install again, over what is there; packages that are broken as if they were not there."""
        if broken:
            self._install([*broken, "--force-reinstall", "--no-deps"])
        self.done.write_text("", encoding="utf-8")
        self.prepare()

    def _same_dependencies(self, extras: tuple[str, ...]) -> bool:
        """Whether pyproject.toml changed in nothing that is installed."""
        if not (self.done.exists() and self.python.exists() and extras == self.installed_extras()):
            return False
        if not self.done.read_bytes():
            return False
        return requirements(self.root, extras, self.done) == requirements(self.root, extras)

    def _create(self) -> None:
        if self.done.exists() and self.python.exists():
            return
        if self.path.exists() and self.begun.exists():
            shutil.rmtree(self.path)  # ours, and half made
        elif self.python.exists():
            return  # someone's own environment: install into it
        self.path.mkdir(parents=True, exist_ok=True)
        self.begun.write_text("made by bin/tito\n", encoding="utf-8")
        base = getattr(sys, "_base_executable", "") or sys.executable  # not that of an environment we are in
        uv = shutil.which("uv")
        if uv and _quiet([uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", base, str(self.path)]):
            return
        _need_ensurepip()
        made = _run([base, "-m", "venv", str(self.path)])
        if made.returncode:
            raise SetupError(f"the environment {self.path.name} could not be made:\n{made.stdout}")

    def _install(self, wanted: list[str]) -> None:
        uv = shutil.which("uv")
        if uv and _quiet(
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(self.python), *wanted]
        ):
            return
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        done = _run([*pip, *wanted])
        if done.returncode:
            last = "\n".join(done.stdout.strip().splitlines()[-6:])
            raise SetupError(
                f"pip could not install what the course needs:\n{last}\n"
                "  Is there a network? The next call of bin/tito tries again."
            )
        # pip would compile on one core. What cannot be compiled is no module of this Python: it is never imported.
        _run([str(self.python), "-m", "compileall", "-q", "-j", "0", str(self._site)])

    def _add_checkout(self) -> None:
        """Put the checkout on the environment's path, relative so that any letters in it will do."""
        way = os.path.relpath(self.root, self._site)
        (self._site / "tinytorch-course.pth").write_text(f"{way}\n", encoding="utf-8")

    @functools.cached_property
    def _site(self) -> Path:
        """Where the environment keeps what is installed."""
        found = _run([str(self.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        return Path(found.stdout.strip())

    @contextlib.contextmanager
    def _alone(self):
        """Hold the checkout's lock, so that two terminals do not set up at once."""
        waiting = "tito: another terminal is setting up the environment; waiting for it ..."
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.root / ".tito" / "setup.lock", waiting))
            except OSError as error:
                raise SetupError(
                    f"the environment has to be made in {self.root}, where you may not write ({error.strerror}).\n"
                    "  Copy the course to a directory of your own and run bin/tito there."
                ) from error
            yield


def requirements(root: Path, extras: tuple[str, ...], file: Path | None = None) -> list[str]:
    """The dependencies of the package and of some extras, from pyproject.toml."""
    import tomllib

    project = tomllib.loads((file or root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(name for extra in extras for name in optional.get(extra, ()))]


def enter(root: Path, arguments: list[str]) -> int:
    """Run `tito` in the checkout's environment, which is made where it is missing."""
    environment = Environment(root)
    try:
        if not environment.ready:
            environment.prepare()
    except SetupError as error:
        _say(f"tito: {error}")
        return 1
    except OSError as error:
        _say(f"tito: the environment .venv could not be set up: {error}")
        return 1
    except KeyboardInterrupt:
        _say("tito: interrupted; the next call sets up the environment anew.")
        return 130
    if environment.entered:
        from tito.cli import main

        main()
    command = [str(environment.python), "-P", "-m", "tito", *arguments]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)


def _need_ensurepip() -> None:
    try:
        import ensurepip  # noqa: F401
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"this Python {version} comes without the module ensurepip, which makes environments.\n"
            f"  On Debian and Ubuntu: sudo apt install python{version}-venv. Or install uv, which does without it."
        ) from error


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def _quiet(command: list[str]) -> bool:
    """Whether a command succeeds; where it does not, another way is tried."""
    return _run(command).returncode == 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
