"""The environment that bin/tito makes: complete or not there, and nobody else's."""

import os
import subprocess
import sys
import threading

import pytest

from tito import environment
from tito.course import Course
from tito.environment import Environment, SetupError, requirements

ROOT = Course.find().root


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A directory with a pyproject.toml, where making and installing are only written down."""
    text = '[project]\ndependencies = ["numpy>=2"]\n'
    text += '[project.optional-dependencies]\ncourse = ["click"]\njupyter = ["lab"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    calls = []

    def run(command):
        calls.append(" ".join(command[1:]))
        made = Environment(tmp_path)
        if "venv" in command:
            made.python.parent.mkdir(parents=True, exist_ok=True)
            made.python.write_text("")
        site = made.path / "site"
        site.mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, stdout=f"{site}\n")

    monkeypatch.setattr(environment, "_run", run)
    return tmp_path, calls


def installed(calls):
    """What pip was told to install, call by call."""
    return [call.partition(" --no-compile ")[2] for call in calls if "pip install" in call]


def test_made_once(checkout):
    root, calls = checkout
    Environment(root).prepare()
    assert Environment(root).ready and installed(calls) == ["numpy>=2 click"] and "-m venv" in calls[0]
    assert calls[-1] == f"-m compileall -q -j 0 {root / '.venv' / 'site'}"
    assert (root / ".venv" / "site" / "tinytorch-course.pth").read_text() == os.path.join("..", "..") + "\n"
    Environment(root).prepare()
    assert installed(calls) == ["numpy>=2 click"]


def test_a_change_of_dependencies_installs_again(checkout):
    root, calls = checkout
    Environment(root).prepare()
    with (root / "pyproject.toml").open("a") as file:
        file.write("# a remark\n")
    assert not Environment(root).ready
    Environment(root).prepare()
    assert Environment(root).ready and installed(calls) == ["numpy>=2 click"]
    text = (root / "pyproject.toml").read_text().replace("click", "click>=9")
    (root / "pyproject.toml").write_text(text)
    Environment(root).prepare()
    assert Environment(root).ready and installed(calls) == ["numpy>=2 click", "numpy>=2 click>=9"]
    assert sum("-m venv" in call for call in calls) == 1


def test_a_further_extra_stays(checkout):
    root, calls = checkout
    Environment(root).prepare()
    Environment(root).prepare("jupyter")
    assert installed(calls)[1:] == ["numpy>=2 click lab"]
    assert Environment(root).installed_extras() == ("course", "jupyter")


def test_half_made_is_made_anew(checkout):
    root, _ = checkout
    (root / ".venv").mkdir()
    (root / ".venv" / "tinytorch-begun").write_text("")
    (root / ".venv" / "rubbish").write_text("")
    Environment(root).prepare()
    assert Environment(root).ready and not (root / ".venv" / "rubbish").exists()


def test_someone_else_s_environment_is_not_removed(checkout):
    root, calls = checkout
    own = Environment(root)
    own.python.parent.mkdir(parents=True)
    own.python.write_text("")
    (root / ".venv" / "theirs").write_text("")
    own.prepare()
    assert own.ready and (root / ".venv" / "theirs").exists()
    assert installed(calls) == ["numpy>=2 click"] and not any("-m venv" in call for call in calls)


def test_a_failed_installation_is_not_complete(checkout, monkeypatch):
    root, _ = checkout
    monkeypatch.setattr(Environment, "_create", lambda self: self.path.mkdir())
    monkeypatch.setattr(environment, "_run", lambda c: subprocess.CompletedProcess(c, 1, stdout="ERROR: no network\n"))
    with pytest.raises(SetupError, match="ERROR: no network"):
        Environment(root).prepare()
    assert not Environment(root).ready


def test_two_terminals_at_once(checkout, monkeypatch):
    root, calls = checkout
    threads = [threading.Thread(target=Environment(root).prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Environment(root).ready and installed(calls) == ["numpy>=2 click"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_checkout(checkout):
    root, _ = checkout
    root.chmod(0o555)
    with pytest.raises(SetupError, match="where you may not write"):
        Environment(root).prepare()


def test_requirements_of_the_course():
    assert requirements(ROOT, ()) == ["numpy>=2"]
    names = " ".join(requirements(ROOT, ("course",)))
    assert all(name in names for name in ("click", "nbdev", "jupytext", "pytest"))


def test_an_old_python_is_told():
    """bin/tito is readable by any Python, and stops before it imports anything new."""
    code = (
        "import sys, os; os.environ['PATH'] = ''; sys.version_info = (3, 8, 1)\n"
        f"import runpy; sys.argv = ['tito']; runpy.run_path({str(ROOT / 'bin' / 'tito')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "this is Python 3.8, and the course needs 3.11 or newer" in done.stderr
