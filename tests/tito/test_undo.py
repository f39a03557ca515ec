"""Whatever replaces a chapter's text keeps it first, and `tito undo` brings it back."""

import concurrent.futures
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FIRST = "modules/source/01_first/first_dev.py"
REFERENCE = ".tito/reference/first/first_dev.py"
CORE = "tinytorch/core/first.py"
HANDED_OUT = Path(__file__).resolve().parents[1] / "toy" / FIRST
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'


def solve(checkout, line="return x ** 3"):
    checkout.edit(FIRST, BLANK, f"    {line}\n")
    return checkout.read(FIRST)


def attempts(checkout):
    kept = {name: text for name, text in checkout.files().items() if name.startswith(".tito/attempts/")}
    return {text.decode() for name, text in kept.items() if not name.endswith("before-start.py")}


def test_undo_and_undo_again(toy):
    toy.tito("start", "first")
    mine = solve(toy)
    toy.tito("reset", "first")
    blanked = toy.read(FIRST)
    assert "is as it was before reset." in toy.tito("undo", "first") and toy.read(FIRST) == mine
    toy.tito("undo", "first")
    assert toy.read(FIRST) == blanked
    toy.tito("undo", "first")
    assert toy.read(FIRST) == mine and attempts(toy) == {mine, blanked}


def test_undo_is_of_the_last_command(toy):
    """Also where the same text had been replaced before another one was."""
    toy.tito("start", "first")
    blanked = toy.read(FIRST)
    solve(toy)
    toy.tito("reset", "first")
    toy.tito("solution", "first")
    assert "before solution" in toy.tito("undo", "first")
    assert toy.read(FIRST) == blanked


def test_undo_of_one_exercise(toy):
    toy.tito("start", "first")
    solve(toy)
    toy.tito("reset", "first", "double")
    toy.tito("solution", "first", "Box_text")
    with_text = toy.read(FIRST)
    assert "double is as it was before reset of double" in toy.tito("undo", "first", "double")
    assert toy.read(FIRST) == with_text.replace(BLANK, "    return x ** 3\n")
    toy.tito("undo", "first", "double")
    assert toy.read(FIRST) == with_text
    assert "no exercise 'doble'. Did you mean double" in toy.tito("undo", "first", "doble", status=2)


def test_list_and_choose(toy):
    assert "no command has replaced it yet" in toy.tito("undo", "first", "--list")
    toy.tito("start", "first")
    one = solve(toy, "return 1")
    toy.tito("reset", "first")
    two = solve(toy, "return 2")
    toy.tito("reset", "first")
    listed = toy.tito("undo", "first", "--list").splitlines()
    assert "before reset  lines that differ from now: 2" in listed[1]
    assert "before start" in listed[2] and len(listed) == 4
    toy.tito("undo", "first", "2")
    assert toy.read(FIRST) == one
    name = next(n for n, text in toy.files().items() if n.startswith(".tito/attempts") and text.decode() == two)
    toy.tito("undo", "first", name.rpartition("/")[2])
    assert toy.read(FIRST) == two
    assert "that is what stands there" in toy.tito("undo", "first", "double", "3")
    toy.tito("undo", "first", "2", "double")
    assert BLANK in toy.read(FIRST)
    assert "there is no version 9" in toy.tito("undo", "first", "9", status=2)
    assert "one exercise and one version" in toy.tito("undo", "first", "1", "2", status=2)


def test_undo_of_start(toy):
    before = toy.read(FIRST)
    assert "tito undo 01_first" in toy.tito("start", "first")
    said = toy.tito("undo", "first")
    assert "as it was before start" in said and "not in progress any more" in said
    assert toy.read(FIRST) == before and not toy.file(REFERENCE).exists()
    toy.tito("start", "first")
    assert toy.read(FIRST).count("NotImplementedError") == 3


def test_undo_of_start_and_undo_of_that(toy):
    """The text and whether it is in progress go together: blank exercises never stand there as the course's own."""
    before, core = toy.read(FIRST), toy.read(CORE)
    toy.tito("start", "first")
    blanked = toy.read(FIRST)
    for _ in range(2):
        toy.tito("undo", "first")
        assert toy.read(FIRST) == before and "not started" in toy.tito("status", "first")
        toy.tito("undo", "first")
        assert toy.read(FIRST) == blanked and toy.read(REFERENCE) == before
    toy.tito("export")
    toy.tito("doctor", "--fix", status=None)
    assert toy.read(CORE) == core
    toy.tito("solution", "first")
    toy.tito("test", "first")


def test_undo_of_start_after_an_edit(toy):
    """As `start` says: and what was typed is kept, and in progress again when it is brought back."""
    before = toy.read(FIRST)
    assert "as it was:   tito undo 01_first" in toy.tito("start", "first")
    mine = solve(toy, "return 5")
    said = toy.tito("undo", "first")
    assert "before start" in said and "what stood there is kept: .tito/attempts" in said
    assert toy.read(FIRST) == before and mine in attempts(toy)
    toy.tito("undo", "first")
    assert toy.read(FIRST) == mine and toy.read(REFERENCE) == before


def test_undo_of_start_takes_the_work_out_of_the_package(toy):
    core = toy.read(CORE)
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "return x + x", "return 2 * x")
    toy.tito("test", "first")
    assert "2 * x" in toy.read(CORE)
    assert "before start" in toy.tito("undo", "first", "2")
    assert toy.read(CORE) == core
    toy.tito("export", "--check")
    toy.tito("start", "first")
    assert "before start" in toy.tito("undo", "first")


def test_undo_of_one_exercise_in_a_chapter_that_is_not_in_progress(toy):
    """The course's own version stays free of work, so that the chapter can be begun again."""
    assert "tito start 01_first blanks them" in toy.tito("undo", "first", "double", status=1)
    own = toy.read(FIRST)
    toy.tito("start", "first")
    mine = solve(toy, "return 5")
    toy.tito("undo", "first")
    said = toy.tito("undo", "first", "double", status=1)
    assert "is not in progress" in said and "tito undo 01_first --list" in said and toy.read(FIRST) == own
    toy.tito("undo", "first", "1")
    assert toy.read(FIRST) == mine


def test_undo_of_one_exercise_is_not_its_solution(toy):
    toy.tito("start", "first")
    solve(toy, "return 5")
    assert "nothing is kept of double" in toy.tito("undo", "first", "double", status=2)


def test_nothing_to_undo(toy):
    assert "no command has replaced it" in toy.tito("undo", "first", status=2)
    toy.tito("start", "first")
    mine = solve(toy)
    assert "nothing is kept of double" in toy.tito("undo", "first", "double", status=2)
    assert toy.read(FIRST) == mine


def test_the_same_text_is_kept_once(toy):
    toy.tito("start", "first")
    assert "is blank already; nothing was changed" in toy.tito("reset", "first") and not attempts(toy)
    mine = solve(toy)
    for _ in range(2):
        toy.tito("reset", "first")
        toy.write(FIRST, mine)
    assert attempts(toy) == {mine}


def test_a_file_that_is_no_text(toy):
    """Saved by an editor in another encoding, or cut off: kept byte by byte, and the way out is open."""
    toy.tito("start", "first")
    mine = solve(toy)
    toy.tito("reset", "first", "double")
    toy.file(FIRST).write_bytes(b"\xff\xfe damaged")
    assert "not text in UTF-8" in toy.tito("reset", "first", "double", status=1)
    toy.tito("undo", "first")
    assert toy.read(FIRST) == mine
    assert b"\xff\xfe damaged" in toy.files().values()
    toy.file(FIRST).unlink()
    toy.tito("undo", "first")
    assert toy.file(FIRST).exists()


def test_where_nothing_stood_nothing_is_kept(toy):
    """And no undo makes an empty file."""
    toy.tito("start", "first")
    mine = solve(toy)
    toy.tito("reset", "first")
    toy.file(FIRST).unlink()
    said = toy.tito("reset", "first")
    assert "nothing stood there" in said and "what stood there is kept" not in said and "" not in attempts(toy)
    toy.tito("undo", "first")
    assert toy.read(FIRST) == mine


@pytest.mark.parametrize("command", [("start",), ("reset",), ("solution", "double"), ("undo",)], ids=" ".join)
def test_killed_at_any_write(toy, command):
    """The chapter is the old one or the new one, what stood there is kept, and the command can be given again."""
    if command != ("start",):
        toy.tito("start", "first")
        solve(toy)
        toy.tito("reset", "first")
        solve(toy, "return 5")
    before, files = toy.read(FIRST), toy.files()
    toy.tito(command[0], "first", *command[1:])
    after = toy.read(FIRST)
    moment, moments = 1, 0
    while moment:
        for name in set(toy.files()) - set(files):
            toy.file(name).unlink()
        for name, text in files.items():
            toy.file(name).write_bytes(text)
        dead = toy.killed(moment, command[0], "first", *command[1:])
        now = toy.read(FIRST)
        assert now in (before, after)
        everything = {text.decode(errors="replace") for name, text in toy.files().items() if "/." not in name}
        assert before in everything
        if now != after:
            toy.tito(command[0], "first", *command[1:])
            assert toy.read(FIRST) == after
        moments, moment = moments + dead, moment + 1 if dead else 0
    assert moments >= 4


@pytest.mark.parametrize("undone", [False, True])
def test_killed_while_a_start_is_undone_or_that_is(toy, undone):
    """Work never stands there without its reference, and nothing is lost."""
    own = toy.read(FIRST)
    toy.tito("start", "first")
    mine = solve(toy)
    if undone:
        toy.tito("undo", "first")
    files, moment, moments = toy.files(), 1, 0
    while moment:
        for name in set(toy.files()) - set(files):
            toy.file(name).unlink()
        for name, text in files.items():
            toy.write(name, text.decode())
        dead = toy.killed(moment, "undo", "first")
        assert toy.read(FIRST) == own or toy.read(FIRST) == mine and toy.file(REFERENCE).exists()
        assert {own, mine} <= {text.decode(errors="replace") for name, text in toy.files().items() if "/." not in name}
        moments, moment = moments + dead, moment + 1 if dead else 0
    assert moments >= 4


def test_tito_s_directory_is_lost(toy, tmp_path):
    """A half-done chapter is never taken for the reference; a release gives that back, and the work goes on."""
    release = shutil.copytree(toy.root, tmp_path / "release")
    toy.tito("start", "first")
    mine = solve(toy, "if isinstance(x, str):\n        raise TypeError('a str')\n    return x + x")
    for half_done in (True, False):
        if not half_done:
            toy.tito("solution", "first", "Box_text")
            toy.tito("solution", "first", "Box_doubled")
            mine = toy.read(FIRST)
            toy.tito("test", "first")
        shutil.rmtree(toy.file(".tito"))
        for command in (("start", "first"), ("reset", "first"), ("solution", "first")):
            assert "--from FOLDER_OR_ZIP" in toy.tito(*command, status=1)
        assert "in progress again" in toy.tito("start", "first", "--from", release)
        assert toy.read(FIRST) == mine and "return x + x" in toy.read(REFERENCE)
    toy.tito("reset", "first")
    assert toy.read(FIRST).count("NotImplementedError") == 3


def test_two_terminals_at_once(toy):
    """Ten writers: each one's change is there, and none saw another half done."""
    toy.tito("start", "first")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        names = ["double", "Box_doubled", "Box_text"]
        done = list(pool.map(lambda name: toy.run("solution", "first", name), names))
    assert [d.returncode for d in done] == [0, 0, 0], done
    assert "NotImplementedError" not in toy.read(FIRST)


def test_a_full_disk(toy):
    """A limit on the size of files is met as a full disk is, in the middle of writing."""
    pytest.importorskip("resource")
    toy.tito("start", "first")
    solve(toy)
    before = toy.files()
    done = toy.run("reset", "first", largest_file=100)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Nothing was changed" in done.stderr
    assert toy.files() == before


def test_testing_and_resetting_at_once(toy):
    """Every command ends as it should, and what was replaced is kept."""
    toy.tito("start", "first")
    mine = solve(toy)
    commands = [("test", "first"), ("reset", "first"), ("test", "first"), ("start", "first"), ("solution", "first")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda command: toy.run(*command), commands))
    assert all("Traceback" not in d.stdout + d.stderr for d in done), done
    assert [d.returncode for d in done if d.args[0] != "test"] == [0, 0, 0]
    assert mine in attempts(toy)


STEPS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                ("start",),
                ("reset",),
                ("reset", "double"),
                ("reset", "Box_text"),
                ("solution",),
                ("solution", "double"),
                ("undo",),
                ("undo", "double"),
                ("undo", "1"),
                ("undo", "2"),
                ("undo", "Box_text", "2"),
                ("notebook", "--force"),
                ("notebook", "--import", "--take", "notebook"),
                ("notebook", "--import", "--take", "chapter"),
            ]
        ),
        st.integers(0, 9),  # typed into double
        st.sampled_from(["a cell", "no markers", "nothing", "saved on another system", "in the notebook"]),
    ),
    max_size=12,
)


def type_(checkout, what):
    text = checkout.read(FIRST)
    if isinstance(what, int):
        begin = text.find("### BEGIN SOLUTION double\n")
        end = text.find("    ### END SOLUTION", begin)
        text = text[: begin + 26] + f"    return {what}\n" + text[end:] if begin >= 0 else text + f"# {what}\n"
    elif what == "a cell":
        text += "\n# %%\nmine = 1\n"
    elif what == "no markers":
        text = text.replace("### BEGIN SOLUTION double", "# gone")
    elif what == "in the notebook":
        if checkout.file("first.ipynb").exists():
            answer = "return 'of the notebook'"
            checkout.write("first.ipynb", re.sub(r"raise Not\w+|return \d", answer, checkout.read("first.ipynb")))
        return
    elif what == "nothing":
        text = ""
    else:
        checkout.file(FIRST).write_bytes(text.replace("\n", "\r\n").encode())
        return
    checkout.write(FIRST, text)


def newlines(text):
    return text.replace(b"\r\n", b"\n")


@settings(max_examples=settings().max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_text_is_ever_lost(toy, steps):
    """Whatever is done in whatever order: each text that a command replaced is there to the end."""
    handed_out = HANDED_OUT.read_bytes()
    for name in toy.files():
        if name.startswith((".tito/attempts", ".tito/reference", "first.ipynb")):
            toy.file(name).unlink()
    toy.file(FIRST).write_bytes(handed_out)
    replaced = set()
    for step in steps:
        if not isinstance(step, tuple):
            type_(toy, step)
            continue
        before = toy.file(FIRST).read_bytes()
        assert "Traceback" not in toy.tito(step[0], "first", *step[1:], status=None)
        if toy.file(FIRST).read_bytes() != before:
            replaced |= {newlines(before)} - {b""}
        assert replaced <= {newlines(text) for text in toy.files().values()}
        if toy.file(REFERENCE).exists():
            assert "return x + x" in toy.read(REFERENCE) and "NotImplementedError" not in toy.read(REFERENCE)
