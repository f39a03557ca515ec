"""The students' edition: it works, and holds no solution."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tito import leaks
from tito.chapter import Chapter
from tito.course import Course

FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"
CORE = "tinytorch/core/first.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'
LINE = 'raise TypeError("double: x is a str, a number was expected.")'
DOUBLE = f"    if isinstance(x, str):\n        {LINE}\n    return x + x\n"


def edition(toy, *arguments, name="for students"):
    """The toy course's students' edition, released by its own command."""
    toy.tito("release", toy.root.parent / name, *arguments)
    return type(toy)(toy.root.parent / name)


def states(checkout, module="first", status=1):
    data = json.loads(checkout.tito("test", module, "--json", status=status))
    return {e["name"]: e["state"] for e in data["exercises"]}


def test_every_chapter_is_blank_and_works(toy):
    students = edition(toy)
    chapter = students.read(FIRST)
    assert chapter.count("raise NotImplementedError") == 3 and "misconceptions" not in chapter
    assert students.read("modules/handed_out/first/first_dev.py") == chapter
    assert "modules = 01_first, 02_second" in students.read("settings.ini")
    assert students.read(CORE).count("raise NotImplementedError") == 3
    assert "is what the 2 chapters say" in students.tito("export", "--check")
    assert "2 chapters, none in progress" in students.tito()
    assert "not started" in students.tito("status") and "well   package" in students.run("doctor").stdout
    assert "3 exercises are blank" in students.tito("start", "first")
    assert "nothing was changed" in students.tito("start", "first")
    assert students.read(FIRST) == chapter and "You are in 01_first" in students.tito()


def test_notes_have_fingerprints_in_place_of_code(toy):
    notes = json.loads(edition(toy).read("modules/source/01_first/notes.json"))
    (squares,) = notes["double"]["misconceptions"]
    assert squares["call"] == "double(3)" and squares["actual"] == "9" and "code" not in squares
    assert notes["double"]["title"] == "Twice" and len(notes["double"]["hints"]) == 3


def test_the_loop_of_a_student(toy):
    """To do, failing with the diagnosis, passing; then it is in the package, and the next chapter can use it."""
    students = edition(toy)
    assert states(students) == {"double": "to do", "Box_doubled": "to do", "Box_text": "to do"}
    assert states(students, "second") == {"rules": "to do"}
    students.edit(SECOND, '# rule("four", lambda x: ...)', 'rule("four", lambda x: double(double(x)))')
    assert "solve double in 01_first" in students.tito("test", "second", status=1)
    assert "What do you get when you add a thing to itself?" in students.tito("hint", "first", "double")
    students.edit(FIRST, BLANK, "    return x * x\n")
    assert "You multiplied x by itself." in students.tito("test", "first", status=1)
    students.edit(FIRST, "    return x * x\n", DOUBLE)
    students.edit(FIRST, 'raise NotImplementedError("exercise Box_doubled")', "return double(self.value)")
    students.edit(FIRST, 'raise NotImplementedError("exercise Box_text")', "return str(self.value)")
    assert "now part of the package" in students.tito("test", "first")
    students.tito("test", "--all")
    assert "raise NotImplementedError" not in students.read(CORE)


def test_the_tests_are_those_that_were_handed_out(toy):
    """Also where nobody typed tito start."""
    students = edition(toy)
    students.edit(FIRST, "check(double(3), 6)", "check(double(3), 9)")
    students.edit(FIRST, BLANK, "    return x * x\n")
    assert states(students)["double"] == "failing"


def test_reset_blanks(toy):
    students = edition(toy)
    for path, module, written in ((FIRST, "first", "    return x\n"), (SECOND, "second", 'rule("four", abs)\n')):
        blank = students.read(path)
        students.edit(path, BLANK if module == "first" else '# rule("four", lambda x: ...)\n', written)
        students.tito("reset", module, *(["rules"] if module == "second" else []))
        assert students.read(path) == blank


def test_it_holds_no_solution_to_put_in(toy):
    students = edition(toy)
    before = students.files()
    for arguments in (["first"], ["first", "double"], ["second", "rules"]):
        assert "holds no solution" in students.tito("solution", *arguments, status=1)
    assert "holds no solutions" in students.tito("notebook", "first", "--solutions", status=1)
    assert "students' edition itself" in students.tito("release", toy.root.parent / "again", status=1)
    assert {k: v for k, v in students.files().items() if not k.endswith(".lock")} == before


def test_chapters_before_are_given_and_later_ones_left_out(toy):
    late, early = edition(toy, "--modules", "2", name="late"), edition(toy, "--modules", "first", name="early")
    assert "return x + x" in late.read(FIRST) and "return x + x" in late.read(CORE)
    assert "raise NotImplementedError" not in late.read(FIRST) and not late.file("modules/handed_out/first").exists()
    assert "02_second" in late.tito("status") and "01_first" not in late.tito("status")
    late.edit(SECOND, '# rule("four", lambda x: ...)', 'rule("four", lambda x: 4 * x)')
    late.tito("test", "--all")
    assert not [name for name in early.files() if "second" in name]
    early.tito("export", "--check")


def test_some_chapters_keep_their_solutions(toy):
    students = edition(toy, "--modules", "01-02", "--solutions", "first")
    assert "modules = 01_first, 02_second" in students.read("settings.ini")
    students.tito("test", "first")
    students.tito("start", "first")  # as in the whole course
    assert BLANK in students.read(FIRST)
    students.tito("solution", "first", "double")


@pytest.mark.parametrize("whole", [False, True], ids=["the chapter", "an edition"])
def test_solutions_unlocked_later(toy, whole):
    """They reach the package and not the student's file, until one is asked for."""
    students = edition(toy)
    sent = edition(toy, "--solutions", "first", name="sent").root if whole else toy.file(FIRST)
    students.edit(FIRST, BLANK, "    return x  # mine\n")
    written = students.read(FIRST)
    assert "holds the solutions now" in students.tito("solution", "first", "--from", sent)
    assert students.read(FIRST) == written and students.read(CORE) == toy.read(CORE)
    assert states(students)["double"] == "failing"
    students.edit(SECOND, '# rule("four", lambda x: ...)', 'rule("four", lambda x: double(double(x)))')
    students.tito("test", "second")
    students.tito("solution", "first", "double")
    assert DOUBLE in students.read(FIRST) and "exercise Box_text" in students.read(FIRST)
    students.tito("undo", "first")
    assert students.read(FIRST) == written
    students.tito("export", "--check")


def test_a_corrected_edition_comes_into_the_work(toy):
    """Its tests count, what was written stays, and what it holds solved is unlocked."""
    students = edition(toy, "--modules", "first")
    students.edit(FIRST, BLANK, "    return 6  # mine\n")
    assert states(students)["double"] == "failing"
    toy.edit(FIRST, "    check(double(np.ones(2)), [2.0, 2.0])\n", "")
    toy.tito("export")
    students.tito("update", edition(toy, name="corrected").root)
    assert "# mine" in students.read(FIRST) and "np.ones" not in students.read(FIRST)
    assert states(students)["Box_doubled"] == "to do" and "02_second" in students.tito("status")
    students.tito("update", edition(toy, "--solutions", "first", name="unlocked").root)
    assert "# mine" in students.read(FIRST)
    students.tito("solution", "first", "double")
    assert DOUBLE in students.read(FIRST)


def test_what_cannot_be_unlocked(toy):
    students = edition(toy)
    blank, other = students.file(FIRST), toy.file(SECOND)
    assert "holds no solutions" in students.tito("solution", "first", "--from", blank, status=1)
    assert "not the chapter" in students.tito("solution", "first", "--from", other, status=1)
    assert "is no file" in students.tito("solution", "first", "--from", toy.root / "nothing.py", status=1)
    toy.edit(FIRST, "check(double(3), 6)", "check(double(4), 8)")
    assert "of another release" in students.tito("solution", "first", "--from", toy.file(FIRST), status=1)
    assert not students.file(".tito/reference").exists()
    assert "holds the course's own solutions already" in toy.tito("solution", "first", "--from", blank, status=1)


def test_what_a_student_put_into_the_package_stays(toy):
    students = edition(toy)
    students.edit(FIRST, BLANK, "    return x  # mine\n")
    students.tito("export", "first")
    assert "still holds what you put there" in students.tito("solution", "first", "--from", toy.file(FIRST))
    assert "# mine" in students.read(CORE)


def packed(member):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(*member)
    return file.getvalue()


def array_file(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


PLACES = {
    "a README": ("modules/source/01_first/README.md", LINE.encode()),
    "another spelling": ("book/page.md", b'raise  TypeError( "double: x is a str, a number was expected." )'),
    "two lines": ("etc/note.txt", (LINE + "  # so\n return x+x").encode()),
    "a notebook's JSON": ("book/page.json", json.dumps([LINE]).encode()),
    "another chapter": ("modules/source/02_second/more.py", LINE.encode()),
    "the package": ("tinytorch/other.py", LINE.encode()),
    "arrays": ("tinytorch/data/some.npz", array_file(lines=np.array([LINE]))),
    "bytes in arrays": ("tinytorch/data/some.npz", array_file(lines=np.frombuffer(LINE.encode(), np.uint8))),
    "gzip": ("tinytorch/data/some.gz", gzip.compress(LINE.encode())),
    "bzip2": ("tinytorch/data/some.bz2", bz2.compress(LINE.encode())),
    "xz": ("tinytorch/data/some.xz", lzma.compress(LINE.encode())),
    "a zip file in one": ("tinytorch/data/some.zip", packed(("inner.zip", packed(("a.py", LINE))))),
    "a test": ("tests/first/test_first.py", LINE.encode()),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_leak_keeps_the_edition_back(toy, place):
    path, data = PLACES[place]
    toy.file(path).parent.mkdir(parents=True, exist_ok=True)
    toy.file(path).write_bytes(data)
    before = sorted(toy.root.parent.iterdir())
    output = toy.tito("release", toy.root.parent / "students", status=1)
    assert "would be given away" in output and f"{path}" in output and "01_first double" in output
    assert sorted(toy.root.parent.iterdir()) == before


def test_a_leak_in_prose(toy):
    toy.edit(FIRST, "# It works on what it made, too:", f"# It works on what it made, too: `{LINE}`")
    toy.tito("export")
    output = toy.tito("release", toy.root.parent / "students", status=1)
    assert f"{FIRST}: 01_first double" in output


def test_compiled_code_is_found(tmp_path):
    (tmp_path / "x.pyc").write_bytes(b"")
    assert [leak.path for leak in leaks.find(tmp_path, {})] == ["x.pyc"]
    (tmp_path / "a.html").write_text("<pre><span>return</span> (x &lt; limit)<b>.sum</b>(axis=0)</pre>")
    assert [leak.path for leak in leaks.find(tmp_path, {"return(x<limit).sum(axis=0)": "count"})] == ["a.html", "x.pyc"]


def test_hints_show_half_of_a_line_that_they_quote(toy):
    toy.edit(FIRST, "#     - return x + x\n", f"#     - 'Begin with {LINE}, then add.'\n")
    assert "1 exercises have a hint" in toy.tito("release", toy.root.parent / "students")
    notes = json.loads((toy.root.parent / "students/modules/source/01_first/notes.json").read_text(encoding="utf-8"))
    assert notes["double"]["hints"][2] == 'Begin with raise TypeError("double: x is a ..., then add.'


def test_lines_that_are_looked_for():
    body = "    # why\n    a = 1\n    b = a + 2  # two\n    return some.function(a, b)\n"
    cell = f"# %%\ndef f(x):\n    ### BEGIN SOLUTION f\n{body}    ### END SOLUTION\n"
    (region,) = Chapter("", cell).regions
    last = "returnsome.function(a,b)"
    assert leaks.lines_of(region) == [f"a=1b=a+2{last}", f"b=a+2{last}", last]
    (region,) = Chapter("", cell.replace("    return some.function(a, b)\n", "")).regions
    assert leaks.lines_of(region) == []


def test_usage_is_no_solution(toy):
    """What stands in a chapter outside the exercises, or, being short, in the tools."""
    lines = {"x" * 25: "a", "y" * 25: "b", "z" * 50: "c"}
    assert list(leaks.telling(lines, ["x" * 30], ["y" * 30 + "z" * 60])) == ["z" * 50]
    assert leaks.spoken('a = f("b")  # c\nd = "a line of a solution, quoted"\n') == 'a=f("b")d='
    toy.edit(
        FIRST,
        "print(double(double(1)))",
        "print(str(double(double(1))))\nclass Other:\n    def text(self):\n        return str(self.value)",
    )
    toy.tito("export")
    output = toy.tito("release", toy.root.parent / "students", "--verbose")
    assert "01_first Box_text: returnstr(self.value)" in output


def test_hidden_tests_are_held_back(toy):
    mark = "    ### {} HIDDEN TESTS\n"
    hidden = f'    check(Box(2).text(), "2")\n{mark.format("BEGIN")}    check(Box(3).text(), "3")\n{mark.format("END")}'
    toy.edit(FIRST, '    check(Box(2).text(), "2")\n', hidden)
    toy.write("tests/first/test_more.py", "def test_more():\n    pass\n")
    toy.tito("test", "first")
    students = edition(toy, "--without-tests")
    assert not students.file("tests").exists() and "HIDDEN" not in students.read(FIRST)
    assert 'Box(2).text(), "2"' in students.read(FIRST) and 'Box(3).text(), "3"' not in students.read(FIRST)
    assert not [name for name, text in students.files().items() if b"Box(3)" in text]
    students.tito("solution", "first", "--from", toy.file(FIRST))
    assert "HIDDEN" not in students.read(".tito/reference/first/first_dev.py")
    toy.edit(FIRST, hidden, mark.format("BEGIN") + '    check(Box(2).text(), "2")\n' + mark.format("END"))
    assert "test_Box_text is no test" in toy.tito("release", toy.root.parent / "other", status=1)


def test_what_only_held_back_checks_meet_is_not_told(toy):
    """A recorded mistake is known by the first check that it fails, of those that students have."""
    mark = "    ### {} HIDDEN TESTS\n"
    first = f'{mark.format("BEGIN")}    check(double(4321), 8642)\n{mark.format("END")}    check(double(3), 6)\n'
    toy.edit(FIRST, "    check(double(3), 6)\n", first)
    text = f"#         if isinstance(x, str):\n#             {LINE}\n"
    wrong = f"#       code: |\n{text}#         return 8 if np.all(x == 8) else x + x\n#     - name: squares\n"
    toy.edit(FIRST, "#     - name: squares\n", f"#     - name: only large\n#       says: Try more.\n{wrong}")
    toy.edit(FIRST, "check(double(4321), 8642)", "check(double(8), 16); check(double(4321), 8642)")
    toy.tito("export", "--all")
    output = toy.tito("release", toy.root.parent / "students", "--verbose")
    students = type(toy)(toy.root.parent / "students")
    assert "1 recorded mistakes that only held-back checks meet" in output and "first double: only large" in output
    notes = json.loads(students.read("modules/source/01_first/notes.json"))
    (squares,) = notes["double"]["misconceptions"]
    assert (squares["name"], squares["call"], squares["actual"]) == ("squares", "double(3)", "9")
    assert not [name for name, text in students.files().items() if b"4321" in text or b"8642" in text]


@pytest.mark.parametrize(
    "visible, call",
    [
        (["check(double(+2), 2*2)", "check(double(+3), 3*2)"], "double(+3)"),
        (["def case(x, want):", "    check(double(x), want)", "case(3, 6)"], "double(x) in case(3, 6)"),
    ],
    ids=["a check", "a helper"],
)
def test_a_mistake_is_known_by_a_line_that_students_have(toy, visible, call):
    """Held-back lines move those below them in the file, and the edition's lines are others."""
    lines = ["### BEGIN HIDDEN TESTS", "check(double(-9), -18)", "### END HIDDEN TESTS", *visible]
    toy.edit(FIRST, "    check(double(3), 6)\n", "".join(f"    {line}\n" for line in lines))
    toy.tito("export", "--all")
    students = edition(toy)
    (squares,) = json.loads(students.read("modules/source/01_first/notes.json"))["double"]["misconceptions"]
    assert (squares["call"], squares["actual"], squares["expected"]) == (call, "9", "6")
    students.tito("start", "first")
    students.edit(FIRST, BLANK, DOUBLE.replace("x + x", "x * x"))
    assert "You multiplied x by itself." in students.tito("test", "first", "double", status=1)


@pytest.mark.parametrize("told", ["`check( double(4321), 8642 )`", "what of double(4321)?"])
def test_held_back_checks_are_looked_for_everywhere(toy, told):
    mark = "    ### {} HIDDEN TESTS\n"
    hidden = f"{mark.format('BEGIN')}    check(double(4321), 8642)\n{mark.format('END')}"
    toy.edit(FIRST, "    check(double(3), 6)\n", f"    check(double(3), 6)\n{hidden}")
    toy.write("book/more.md", f"# More\n\n{told}\n")
    toy.tito("export", "--all")
    assert "book/more.md: test_double, held back" in toy.tito("release", toy.root.parent / "students", status=1)


def test_two_editions_are_the_same(toy):
    one, two = edition(toy, name="one"), edition(toy, name="two")
    assert one.files() == two.files()
    for name in ("a/students.zip", "b/students.zip"):
        (toy.root.parent / name).parent.mkdir()
        toy.tito("release", toy.root.parent / name)
    packed_one, packed_two = ((toy.root.parent / d / "students.zip").read_bytes() for d in "ab")
    assert packed_one == packed_two
    with zipfile.ZipFile(toy.root.parent / "a/students.zip") as archive:
        assert {n.removeprefix("students/"): archive.read(n) for n in archive.namelist()} == one.files()


def test_what_stays_behind(toy):
    places = [".git/config", ".tito/log.jsonl", ".venv/x", "runs/x", "benchmarks/results/x", ".ci/run"]
    pages = ["instructors.md", "classroom.md", "quick_exploration.md", "tour.py"]
    places += [*(f"book/{page}" for page in pages), "tests/tito/test_x.py", "tests/first/__pycache__/x.pyc"]
    places += [f"modules/source/01_first/{name}" for name in ("first.ipynb", ".ipynb_checkpoints/x.py")]
    for name in places:
        toy.write(name, "not for students")
    toy.write("tests/first/test_first.py", "")
    students = edition(toy)
    assert not [name for name, text in students.files().items() if text == b"not for students"]
    assert students.file("tests/first/test_first.py").exists()
    named = re.findall(r"- file: book/(\w+)", students.read("_toc.yml"))
    assert "serious_development" in named and not {page.partition(".")[0] for page in pages} & set(named)


def test_parts_of_a_page_for_one_of_the_two(toy):
    toy.write(
        "README.md", "a\n<!-- not for students -->\nb\n<!-- /not for students -->\n\nc\n<!-- for students\nd\n-->\n"
    )
    assert edition(toy).read("README.md") == "a\nc\nd\n"


def test_the_first_commands_are_about_the_first_chapter_handed_out(toy):
    toy.write("README.md", "01_first\n\n    tito start 01_first\n    tito test --module 01_first\n")
    page = edition(toy, "--modules", "second").read("README.md")
    assert page == "01_first\n\n    tito start 02_second\n    tito test --module 02_second\n"


@pytest.mark.parametrize("place", ["full", "file", "modules/x", "tinytorch", "nowhere/x"])
def test_places_that_are_refused(toy, place):
    toy.write("full/file", "kept")
    toy.write("file", "kept")
    before = toy.files()
    assert "tito: " in toy.tito("release", place, status=1)
    assert toy.files() == before


def test_an_empty_directory_will_do(toy):
    (toy.root.parent / "empty").mkdir()
    assert edition(toy, name="empty").file(FIRST).exists()


def test_modules_are_named_as_everywhere(toy):
    for wrong, said in (("3", "no module is called '3'"), ("2-1", "comes after"), (",", "names no chapter")):
        assert said in toy.tito("release", "x", "--modules", wrong, status=2)
    assert "not among" in toy.tito("release", "x", "--modules", "1", "--solutions", "2", status=2)
    assert "no chapter is left" in toy.tito("release", "x", "--solutions", "1-2", status=2)
    assert not toy.file("x").exists()


def test_what_the_solutions_are_has_to_be_clear(toy):
    toy.edit(FIRST, "return x + x", "return 2 * x")
    assert "changed after the last export" in toy.tito("release", "x", status=1)
    toy.edit(FIRST, "return 2 * x", "return x + x")
    toy.tito("start", "first")
    assert "in progress here" in toy.tito("release", "x", status=1)


def lines_of_solutions(course):
    """Each line of each solution, and what else the chapters' code says, read off the files by other means."""
    inside, outside = set(), set()
    for module in course.modules:
        solution = code = False
        for line in module.dev.read_text(encoding="utf-8").splitlines():
            code = "[markdown]" not in line and "[raw]" not in line if line.startswith("# %%") else code
            solution = "### BEGIN SOLUTION" in line or solution and "### END SOLUTION" not in line
            (inside if solution else outside if code else set()).add("".join(line.partition("  #")[0].split()))
    given = "\n".join(outside)
    return {line for line in inside if len(line) >= leaks.IDIOM and not line.startswith("#") and line not in given}


def contents(root):
    """What every file holds, white space left out; packed ones are unpacked."""
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                texts = [archive.read(name) for name in archive.namelist()]
        else:
            texts = [path.read_bytes()]
        for data in texts:
            text = data.decode("utf-8", "replace").replace('\\"', '"')
            yield path.relative_to(root).as_posix(), "".join(text.split())


def leaked(root, lines):
    return [(path, line) for path, text in contents(root) for line in lines if line in text]


def succeeds(*command, cwd, **variables):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env={**os.environ, **variables}, timeout=300, **pipes
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_whole_course(tmp_path):
    """Its edition holds no line of a solution, works, and its pages lead somewhere."""
    here, copy, root = Course.find().root, tmp_path / "the course", tmp_path / "the students' edition"
    skipped = shutil.ignore_patterns(".git", ".tito", ".venv*", "__pycache__", ".hypothesis", "runs")
    shutil.copytree(here, copy, ignore=skipped)
    assert "hint that quotes the solution" not in succeeds("tito", "release", root, cwd=copy)
    course = Course(copy)
    lines = lines_of_solutions(course)
    assert len(lines) > 80 and leaked(root, lines) == []
    assert not re.search(r"<!-- (not )?for students", (root / "README.md").read_text(encoding="utf-8"))
    assert re.search("well +package", succeeds("tito", "doctor", cwd=root, PYTHONPATH=str(root)))
    shutil.copy(here / "tests" / "test_documents.py", root / "tests")
    pytest_options = ["-q", "-p", "no:cacheprovider", "--rootdir", root]
    succeeds("pytest", *pytest_options, root / "tests" / "test_documents.py", cwd=root, PYTHONPATH=str(root))

    matmul = course.module("tensor").chapter.exercises["matmul"]  # the search finds what is planted
    np.savez_compressed(root / "tinytorch" / "data" / "planted.npz", np.frombuffer(matmul.text.encode(), np.uint8))
    assert {path for path, _ in leaked(root, lines)} == {"tinytorch/data/planted.npz"}
