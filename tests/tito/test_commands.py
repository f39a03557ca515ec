"""The commands, their errors and their manners."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tito import cli
from tito.commands.options import complete_exercise, complete_module


def test_bare_tito_says_what_next(toy):
    assert "tito start 01_first" in toy.tito()
    toy.tito("start", "first")
    output = toy.tito()
    assert "You are in 01_first, First: in progress." in output and "tito test --module 01_first" in output
    toy.tito("solution", "first")
    toy.tito("test", "first")
    assert "next: tito start 02_second" in toy.tito()


def test_help_matches_the_commands():
    """The summaries of `tito --help` are the first lines of the commands' own help."""
    context = cli.click.Context(cli.cli)
    for name, summary in cli.SUMMARIES.items():
        command = cli.cli.get_command(context, name)
        assert command.help.splitlines()[0] == summary, name
    assert set(cli.SUMMARIES) == set(cli.COMMANDS)


@pytest.mark.parametrize("name", [n for n in cli.COMMANDS if n != "bench"])
def test_help(toy, name):
    done = toy.run(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: tito {name}")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["tset"], "Did you mean test"),
        (["check", "first"], "no command 'check'. Did you mean test?"),
        (["next"], "Did you mean `tito` alone?"),
        (["Test", "first"], "Did you mean test"),
        (["submit"], "What you hand in is a chapter's file"),
        (["test", "double"], "double is an exercise of 01_first: name the module before it, 01_first double"),
        (["test"], "no chapter is in progress: name one, or --all"),
        (["test", "first", "--all"], "name one module, or --all"),
        (["test", "first", "--module", "second"], "two modules are named"),
        (["test", "first", "-k", "and and"], "-k takes names joined by and, or, not"),
        (["test", "scond"], "Did you mean 02_second"),
        (["test", "--modul", "first"], "--module"),
        (["export", "first", "--all"], "not both"),
        (["start"], "Missing argument"),
        (["start", "9"], "There are: 01_first, 02_second"),
        (["status", "nothing"], "no module is called 'nothing'"),
        (["demo", "nothing"], "there is no demo"),
        (["completion", "csh"], "bash"),
        (["jupyter", "--port", "99999"], "65535"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use(toy, arguments, said):
    done = toy.run(*arguments)
    assert done.returncode == 2 and said in done.stderr and not done.stdout
    assert "Traceback" not in done.stderr


def test_errors_keep_stdout_clean_and_verbose_shows_all(toy):
    toy.edit("settings.ini", "[course]", "[course\n")
    done = toy.run("status")
    assert done.returncode == 1 and done.stderr.startswith("tito: settings.ini cannot be read") and not done.stdout
    assert "Traceback" in toy.run("status", "--verbose").stderr


def test_outside_a_course_the_own_one_is_used(toy, tmp_path):
    elsewhere = type(toy)(tmp_path)
    assert "02_tensor" in elsewhere.tito("status")


def test_status(toy):
    output = toy.tito("status")
    assert "01_first         First   not started   3 exercises, 6 points" in output
    toy.tito("start", "first")
    toy.tito("solution", "first", "double")
    toy.tito("test", "first", status=1)
    assert "in progress   1 of 3 exercises, 3 of 6 points" in toy.tito("status")
    data = json.loads(toy.run("status", "--json").stdout)
    assert data["modules"][0]["exercises"] == {"double": "passing", "Box_doubled": "to do", "Box_text": "to do"}
    assert "passing      double" in toy.tito("status", "1")
    toy.edit("modules/source/01_first/first_dev.py", "return x + x", "return x + x  # mine")
    assert "changed since its last test" in toy.tito("status")


def test_json_of_all(toy):
    data = json.loads(toy.run("test", "--all", "--json").stdout)
    assert data["passed"] and [m["module"] for m in data["modules"]] == ["01_first", "02_second"]
    assert [m["points"] for m in data["modules"]] == [6, 3]


def test_notebook(toy, tmp_path):
    import nbformat

    file = tmp_path / "first.ipynb"
    toy.tito("notebook", "first", "--out", file)
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    text = file.read_text(encoding="utf-8")
    assert "YOUR CODE HERE" in text and "return x + x" not in text and "misconceptions" not in text
    assert next(c for c in notebook.cells if "nbgrader" in c.metadata).metadata.nbgrader.grade_id == "double"
    assert "is there already" in toy.tito("notebook", "first", "--out", file, status=1)
    toy.tito("notebook", "first", "--out", file, "--force", "--solutions")
    text = file.read_text(encoding="utf-8")
    assert "return x + x" in text and "You multiplied" not in text
    toy.tito("notebook", "first", "--out", tmp_path, "--force")


def test_notebook_of_work_in_progress(toy, tmp_path):
    toy.tito("start", "first")
    toy.edit("modules/source/01_first/first_dev.py", 'raise NotImplementedError("exercise double")', "return 'mine'")
    toy.tito("notebook", "first", "--out", tmp_path / "mine.ipynb")
    assert "return 'mine'" in (tmp_path / "mine.ipynb").read_text(encoding="utf-8")


def test_doctor(toy):
    output = toy.tito("doctor", status=1)  # the toy has no configuration for Jupyter
    assert "well   NumPy" in output and "well   package" in output and "wrong  Jupyter" in output
    assert "spaces and letters beyond ASCII" in output
    toy.write("etc/jupyter/jupyter_server_config.py", "")
    toy.edit("tinytorch/core/first.py", "return x + x", "return 1")
    toy.write("tinytorch/core/.first.py.abc.new", "half")
    assert "not what the chapters say: tinytorch/core/first.py" in toy.tito("doctor", status=1)
    output = toy.tito("doctor", "--fix")
    assert "wrong" not in output and "return x + x" in toy.read("tinytorch/core/first.py")
    assert not toy.file("tinytorch/core/.first.py.abc.new").exists()
    assert all(f["state"] != "wrong" for f in json.loads(toy.run("doctor", "--json").stdout)["findings"])


def test_demo(toy):
    assert toy.run("demo").returncode == 0


def test_bench_is_missing(toy):
    assert "benchmarks/__main__.py is missing" in toy.tito("bench", status=1)


def test_bench_passes_its_arguments_on(toy):
    toy.write("benchmarks/__init__.py", "")
    toy.write("benchmarks/__main__.py", "import sys, tinytorch.core.first\nprint(sys.argv[1:])\nsys.exit(3)\n")
    done = toy.run("bench", "--quick", "x", "--help")
    assert done.returncode == 3 and done.stdout == "['--quick', 'x', '--help']\n"


def test_jupyter_port_in_use():
    from tito.errors import CourseError
    from tito.jupyter import free_port

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(CourseError, match=f"port {port} is in use"):
            free_port(port, exact=True)
        assert free_port(port, exact=False) > port


def test_completion_of_shells(toy):
    assert "_TITO_COMPLETE=bash_source" in toy.tito("completion", "bash")
    done = toy.run(_TITO_COMPLETE="bash_complete", COMP_WORDS="tito test --module sec", COMP_CWORD="3")
    assert done.stdout == "plain,second\n"


def test_completion_of_exercises(toy, monkeypatch):
    monkeypatch.chdir(toy.root)
    context = cli.click.Context(cli.cli)
    context.params["module"] = "first"
    assert complete_exercise(context, None, "Box") == ["Box_doubled", "Box_text"]
    assert complete_module(context, None, "0") == ["01_first", "02_second"]
    done = toy.run(_TITO_COMPLETE="bash_complete", COMP_WORDS="tito hint first Box_t", COMP_CWORD="3")
    assert done.stdout == "plain,Box_text\n"
    context.params["module"] = "nothing"
    assert complete_exercise(context, None, "") == []


def test_colour_only_where_it_is_wanted(toy):
    pytest.importorskip("pty")
    assert "\x1b" not in toy.tito("test", "first")
    assert "\x1b" in on_terminal(toy, {})
    assert "\x1b" not in on_terminal(toy, {"NO_COLOR": "1"})


def on_terminal(toy, environment):
    """What `tito test first` writes to a terminal."""
    import pty

    ours, theirs = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"PYTHONPATH": str(toy_root())} | environment
    command = [sys.executable, "-m", "tito", "test", "first"]
    subprocess.run(command, cwd=toy.root, env=variables, stdout=theirs, stderr=theirs, check=True)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 1000):
            text += part
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    return text.decode()


def toy_root():
    from tito.course import __file__ as file

    return os.path.dirname(os.path.dirname(file))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_checkout(toy):
    for path in (toy.root, *toy.root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    toy.tito("test", "first")
    assert "cannot be written here" in toy.tito("start", "first", status=1)


def test_starts_fast(toy):
    """Neither NumPy, nor pytest, nor what reads notebooks is imported to say hello."""
    toy.tito("start", "second")
    code = "import sys\nfrom tito import cli\nfrom tito.commands import where, status, start, test\nwhere.show()\n"
    code += "heavy = {'numpy', 'pytest', 'jupytext', 'nbdev', 'yaml', 'rich', 'tempfile'} & set(sys.modules)\n"
    code += "assert not heavy, heavy"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=toy.root,
        env={**os.environ, "PYTHONPATH": str(toy_root())},
        check=True,
        stdout=subprocess.DEVNULL,
    )
