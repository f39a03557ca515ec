"""`tito grade` and what three hundred people really hand in: odd names, odd bytes, archives, whole checkouts."""

import csv
import io
import json
import os
import shutil
import zipfile

import pytest

from tito.grading import judge, results, submissions
from tito.grading.worker import without_magics
from tito.plain import plain, plain_name


def zipped(*members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def test_text_that_no_file_can_hold(grading):
    """Half a UTF-16 pair, in what a submission raises, shows, logs and is called, is written out."""
    grading.hand_in("raised/first_dev.py", grading.right_but(r'raise ValueError("\ud800 \x1b[31m")'))
    shows = grading.right_but('return type("X", (), {"__repr__": lambda self: "\\ud801"})()')
    grading.hand_in("shown/first_dev.py", shows)
    grading.hand_in("named/first_dev.py", grading.right_but(r'raise type("\u202ed\x1b", (Exception,), {})'))
    grading.hand_in("imported/first_dev.py", grading.solved + '\n# %%\n#| export\nraise OSError("\\ud803")\n')
    grading.hand_in("logged/first_dev.py", grading.solved)
    event = {"event": "hint", "module": "01_first", "exercise": "\ud804"}
    grading.hand_in("logged/.tito/log.jsonl", json.dumps(event) + "\n")
    os.makedirs(os.fsencode(grading.folder) + b"/M\xfcller")
    latin = os.fsencode(grading.folder) + b"/M\xfcller/\xe4_first_dev.py"
    with open(latin, "wb") as file:
        file.write(grading.solved.encode())
    output = grading.grade("--json")
    assert grading.points() == {"M\\xfcller": 6, "imported": 0, "logged": 6, "named": 5, "raised": 5, "shown": 5}
    assert r"ValueError: \ud800 \x1b[31m" in grading.page("raised") and "\x1b" not in output
    assert r"\ud801" in grading.page("shown") and r"\u202ed\x1b" in grading.page("named")
    assert r"\ud803" in grading.page("imported") and r"Graded: \xe4_first_dev.py" in grading.page(r"M\xfcller")
    assert grading.marks()["logged"]["log"]["hints"] == {r"01_first \ud804": 1}


def test_names_stay_apart_and_in_a_line():
    assert plain_name("M\udcfcller") == r"M\xfcller" != plain_name("M\udcf6ller")
    assert plain_name("a\nb\t\x1b]0;x\x07\u202ec") == r"a\nb\t\x1b]0;x\x07\u202ec"
    assert plain("a\r\nb\tç 學\u200f\ud800") == r"a" + "\nb\tç 學" + r"\u200f\ud800"
    assert plain_name(r"a\x1b.py") == r"a\\x1b.py" != plain_name("a\x1b.py") and plain_name(r"a\q") == r"a\q"
    ids = ["CON", "Ada", "ada", "𝒶" * 60, "nul.x", "a/../b", "x" * 300, "y" * 300, "=cmd()", "..", r"\u200f"]
    names = results.file_names(ids)
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(len(n.encode()) < 200 and n.strip(". ") == n for n in names.values())
    assert not {"con", "nul.x"} & {name.lower() for name in names.values()}


def test_tables_hold_no_formulas():
    """Wherever a spreadsheet sees a cell begin."""
    cells = {
        "x;=1+1;y": '"x;\'=1+1;y"', "＝1+1": "\"'＝1+1\"", "x;  @a": "\"x;'  @a\"", 'say "x"': '"say ""x"""',
        "-1": "\"'-1\"", "O’Neill, Ada": '"O’Neill, Ada"', "學生 Ünïcode (2)": "學生 Ünïcode (2)", "": "",
        "a;＋1": "\"a;'＋1\"",
    }  # fmt: skip
    for value, written in cells.items():
        assert results.table([[value, 1.5]]) == f"{written},1.5\n"
    assert next(csv.reader([results.table([list(cells)])])) == [results.FORMULA.sub(r"\1'", cell) for cell in cells]


def test_what_is_not_seen_is_written_out():
    for character, written in (("\u200b", "200b"), ("\u2060", "2060"), ("\ufeff", "feff"), ("\U000e0041", "000e0041")):
        assert plain_name(f"a{character}b").endswith(f"{written}b") and plain(character) == plain_name(character)
    assert plain_name("می\u200cخواهم") == "می\u200cخواهم"


def test_no_two_students_share_a_file(grading):
    """Not even where one hands in under the name that the other's files would have."""
    made = results.file_names(["O’Neill"])["O’Neill"]
    longer = results.file_names(["O’Neill", made])["O’Neill"]
    for ids in (["O’Neill", made], [made, "O’Neill"], ["O’Neill", made, longer], ["Ada", "ada", "ÄDA", "äda"]):
        names = results.file_names(ids)
        assert len({name.casefold() for name in names.values()}) == len(ids) and list(names) == ids
        assert names == {id: results.file_names(ids[::-1])[id] for id in ids}
    assert results.file_names(["ada", "O’Neill", made], {"O’Neill": made})["O’Neill"] == made
    grading.hand_in("O’Neill/first_dev.py", grading.solved)
    grading.hand_in(f"{made}/first_dev.py", grading.blank)
    grading.grade()
    assert grading.points() == {"O’Neill": 6, made: 0}
    assert "6 of 6 points" in grading.page("O’Neill") and "0 of 6 points" in grading.page(made)


def test_what_nobody_foresaw_costs_nobody_else(grading, monkeypatch):
    """A student whose marking fails is named everywhere, gets no points that a platform would take, and a new try."""
    for number, name in enumerate(("ada", "bea", "cem"), 7):
        grading.hand_in(f"{name}_{number}_1_first_dev.py", grading.solved)
    read = submissions.read

    def fails(submission):
        if submission.name == "bea":
            raise RuntimeError("what nobody foresaw \x1b[2J")
        return read(submission)

    with monkeypatch.context() as patch:
        patch.setattr(submissions, "read", fails)
        output = grading.grade(status=1)
    assert "NOT GRADED: 8: could not be graded: RuntimeError: what nobody foresaw \\x1b[2J" in output
    assert "2 graded: mean 6.0 of 6 points" in output
    assert "RuntimeError" in grading.marks()["8"]["error"] and "Not graded yet" in grading.page("8")
    rows = list(csv.reader((grading.results / "grades.csv").read_text().splitlines()))
    assert rows[2] == ["8", "bea"] + [""] * 6 and len(rows[0]) == 8
    assert "bea" not in (grading.results / "canvas.csv").read_text()
    assert "3 graded, 2 of them as before" in grading.grade()
    assert set(grading.points().values()) == {6}


def test_files_that_cannot_be_run_are_named(grading):
    grading.hand_in("ada/first_dev.py", grading.solved)
    grading.hand_in("syntax/first_dev.py", grading.solved.replace("def double(x):", "def double(x:"))
    grading.hand_in("latin/first_dev.py", grading.solved.replace("Twice the", "Zweifach für").encode("latin-1"))
    grading.hand_in("none/first_dev.ipynb", "[1, 2")
    output = grading.grade()
    lines = [line.strip() for line in output.splitlines() if "could not be run" in line]
    assert [line.split(", ")[0].split(": ")[1] for line in lines] == ["latin", "none", "syntax"]
    assert "first_dev.py: ValueError: the file is not text in UTF-8 (byte" in lines[0]
    assert "save it as UTF-8" in lines[0] and "save it as UTF-8" in grading.page("latin")
    assert "not a Jupyter notebook" in lines[1] and "SyntaxError" in lines[2]


def test_windows_files_and_what_systems_leave_behind(grading):
    solved = grading.solved.replace("\n", "\r\n").encode("utf-8-sig")
    grading.hand_in("ada/first_dev.py", solved)
    for clutter in ("__MACOSX/._first_dev.py", ".ipynb_checkpoints/first_dev.py", "._first_dev.py", "Thumbs.db"):
        grading.hand_in(f"ada/{clutter}", b"\x00\x05\x16\x07")
    grading.hand_in("ada/second_dev.py", "")
    grading.hand_in("bea.ZIP", zipped(("__MACOSX/b/._first_dev.py", b"\x00"), ("b/first_dev.py", solved)))
    grading.hand_in("cem/work.zip", zipped(("inner.zip", zipped(("Übung/first_dev.py", solved))), ("a.txt", "")))
    grading.hand_in("dan/work.rar", b"Rar!")
    grading.hand_in("eve.7z", b"7z")
    grading.hand_in(".DS_Store", b"")
    for name in ("venv", ".fay", "handed_out"):
        grading.hand_in(f"{name}/first_dev.py", solved)
    output = grading.grade("-m", "first", status=1)
    assert grading.points() == {"ada": 6, "bea": 6, "cem": 6, "dan": 0}
    assert "nothing to grade: dan" in output and "work.rar is an archive of a kind" in grading.page("dan")
    over = [line.rpartition(": ")[2] for line in output.splitlines() if "passed over, being no student's" in line]
    assert over == [".fay", "eve.7z", "handed_out", "venv"] and "DS_Store" not in output


def test_lines_end_where_python_ends_them(grading):
    """Text that was pasted holds other ends of lines, and an old editor writes bare carriage returns."""
    begin = "    ### BEGIN SOLUTION double\n"
    for name, end in (("feed", "\f"), ("next", "\x85"), ("separator", "\u2028")):
        pasted = f'{begin}    # pasted{end}text\n    assert len("a{end}b") == 3\n'
        grading.hand_in(f"{name}/first_dev.py", grading.solved.replace(begin, pasted))
    grading.hand_in("returns/first_dev.py", grading.solved.replace("\n", "\r"))
    grading.grade()
    assert grading.points() == {"feed": 6, "next": 6, "returns": 6, "separator": 6}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_copies_of_one_name(grading):
    wrong = grading.right_but("return self.value")
    grading.hand_in("ada.zip", zipped(("first_dev.py", wrong), ("first_dev.py", grading.solved)))
    grading.grade()
    said = "Note: handed in more than once: ada.zip/first_dev.py counts, not another of the same name."
    assert grading.points() == {"ada": 6} and said in grading.page("ada")


def test_the_better_copy_counts_also_where_only_its_name_tells_the_chapter(grading):
    lines = [line for line in grading.solved.splitlines(keepends=True) if "default_exp" not in line]
    grading.hand_in("ada/a/first_dev.py", grading.right_but("return 1"))
    grading.hand_in("ada/b/first.py", "".join(lines))
    grading.grade()
    assert grading.points() == {"ada": 6} and "b/first.py counts, not a/first_dev.py" in grading.page("ada")


def test_line_ends_of_old_macs(grading):
    grading.hand_in("ada/mine.py", grading.solved.replace("\n", "\r"))
    grading.grade()
    assert grading.points() == {"ada": 6}


def test_a_package_in_another_python_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "interpreter_folders", lambda: [str(tmp_path)])
    assert judge.exposed([]) == []
    installed = tmp_path / "local/lib/python3.11/dist-packages/tinytorch"
    (installed / "core").mkdir(parents=True)
    assert judge.exposed([]) == [str(installed)]


def test_the_graders_own_path_is_not_told(grading, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([str(grading.folder), os.environ["PATH"]]))
    grading.hand_in("ada/first_dev.py", grading.right_but("import os; return os.environ['PATH']"))
    grading.grade()
    assert grading.exercise("ada", "Box_text")["failure"]["actual"] == repr(os.defpath)


def test_a_bad_member_costs_the_others_nothing(grading):
    content = bytearray(zipped(("first_dev.py", grading.solved), ("second_dev.py", "x = 1 # damaged")))
    content[content.index(b"damaged")] ^= 1
    grading.hand_in("ada.zip", bytes(content))
    grading.hand_in("long.zip", zipped(("-" * 60_000 + "x.py", ""), ("first_dev.py", grading.solved)))
    grading.grade("-m", "first")
    assert grading.points() == {"ada": 6, "long": 6}
    assert "second_dev.py could not be read: BadZipFile" in grading.page("ada")
    assert "too long a name" in grading.page("long")


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_checkout(grading, packed, tmp_path):
    """Of a course that is handed in, the course's own files are nobody's chapter."""
    checkout = tmp_path / "course"
    shutil.copytree(grading.toy.root, checkout)
    (checkout / "modules/source/01_first/first_dev.py").write_text(grading.solved)
    text = '# %%\n#| default_exp core.first\n\nraise OSError("this is no chapter")\n'
    for path in ("tito/grading/run.py", "tests/first_dev.py", "tinytorch/first.py", ".venv/lib/first_dev.py",
                 "modules/handed_out/first/first_dev.py", "book/first.py"):  # fmt: skip
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
    files = [p for p in checkout.rglob("*") if p.is_file()]
    if packed:
        inside = zipped(*((f"my-course/{p.relative_to(checkout).as_posix()}", p.read_bytes()) for p in files))
        grading.hand_in("ada.zip", inside)
    else:
        shutil.copytree(checkout, grading.folder / "ada" / "my-course")
    grading.grade("-m", "first")
    (chapter,) = grading.marks()["ada"]["modules"]
    assert chapter["file"].endswith("modules/source/01_first/first_dev.py") and chapter["points"] == 6
    assert chapter["remarks"] == []


def test_magics_of_notebooks():
    """A line is one only where a statement begins."""
    same = ["x = (7\n% 4)", 'x = """\n%time\n!ls\n"""', "x = 7 \\\n% 4"]
    for source in same:
        assert without_magics(source) == source
        assert without_magics(f"%time\n{source}\n!ls") == f"# %time\n{source}\n# !ls"
    assert without_magics("if x:\n%time\n    y") == "if x:\n# %time\n    y"
    assert without_magics("%%time\n#| export\nx = 1\n%y") == "#| export\nx = 1\n# %y"
    assert without_magics("%%bash\nls -l\n") == "# %%bash\n# ls -l"


def test_a_timed_cell_is_exported(grading):
    cells = [{"cell_type": "code", "source": "#| default_exp core.first"}]
    cells += [{"cell_type": "code", "source": "%%time\n#| export\n" + grading.toy.read("tinytorch/core/first.py")}]
    cells += [{"cell_type": "code", "source": "#| export\nrest = (7\n% 4)\n"}]
    grading.hand_in("ada/mine.ipynb", json.dumps({"cells": cells}))
    grading.grade()
    assert grading.points() == {"ada": 6} and grading.marks()["ada"]["modules"][0]["remarks"] == []


def test_a_chapter_is_told_by_a_whole_line(grading):
    told = 'print("write the line `#| default_exp core.first`")\n# like #| default_exp core.first\n'
    grading.hand_in("ada/notes.py", told)
    grading.hand_in("bea/mine.py", grading.solved.replace("\n", "\r\n"))
    lines = ["# %%", "#| default_exp core.first", "#| export"]
    cells = [{"cell_type": "code", "source": [line + "\n" for line in lines]}]
    cells += [{"cell_type": "code", "source": "#| export\n" + grading.toy.read("tinytorch/core/first.py")}]
    grading.hand_in("cem/mine.ipynb", json.dumps({"cells": cells}))
    text = json.dumps({"cells": [{"cell_type": "markdown", "source": "as in #| default_exp core.first"}]})
    grading.hand_in("dan/mine.ipynb", text)
    grading.grade(status=1)
    assert grading.points() == {"ada": 0, "bea": 6, "cem": 6, "dan": 0}


def test_a_platforms_table_holds_its_own(grading):
    grading.hand_in("Ada L_12_assignsubmission_file/first_dev.py", grading.solved)
    grading.hand_in("beatrix_34_999_first_dev.py", grading.solved)
    grading.hand_in("cem/first_dev.py", grading.solved)
    grading.grade()
    tables = {name: list(csv.reader((grading.results / name).open())) for name in ("moodle.csv", "canvas.csv")}
    assert [row[0] for row in tables["moodle.csv"][1:]] == ["Participant 12"]
    assert [row[0] for row in tables["canvas.csv"][2:]] == ["beatrix"]
    (grading.folder / "beatrix_34_999_first_dev.py").unlink()
    (grading.results / "students" / "34.json").unlink()
    grading.grade()
    assert not (grading.results / "canvas.csv").exists() and (grading.results / "moodle.csv").exists()


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("Mallory_1234_assignsubmission_file_5678_assignsubmission_file", "5678"),
        ("Mallory_1234_assignsubmission_file_5678_assignsubmission_file_", "5678"),
        ("Ada_1234_assignsubmission_onlinetext", "1234"),
        ("Ada_1234_assignsubmission_file_work", "1234"),
        ("mallory1234_5678_999_ada_1234_888_first_dev", "5678"),
    ],
)
def test_a_number_that_a_student_chose_is_none(tmp_path, name, whose):
    (tmp_path / name).mkdir()
    assert [s.id for s in submissions.find(tmp_path)[0]] == [whose]


def test_a_file_with_two_numbers_is_filed_under_its_name(tmp_path):
    """Its own name may hold a second one, and so may its author's: neither is taken."""
    name = "Mallory_1234_assignsubmission_file_5678_assignsubmission_file_first_dev"
    (tmp_path / f"{name}.py").touch()
    assert [s.id for s in submissions.find(tmp_path)[0]] == [name]


def test_what_several_claim_is_said(grading):
    grading.hand_in("Ada L_12_assignsubmission_file/first_dev.py", grading.solved)
    grading.hand_in("Ada L_12_assignsubmission_onlinetext/first_dev.py", grading.solved)
    assert "filed under" not in grading.grade()
    grading.hand_in("Mallory_12_assignsubmission_file/first_dev.py", grading.blank)
    for copy in range(9):
        grading.hand_in(f"Mallory_12_assignsubmission_file/{copy}/first_dev.py", grading.blank + f"# {copy}\n")
    output = grading.grade()
    assert "several are filed under 12, and the better one counts: Ada L, Mallory" in output
    assert "too many copies: 12, 01_first: of 11, the first 10 were graded" in output
    assert grading.marks()["12"]["claimed_by"] == ["Ada L", "Mallory"] and "Mallory" not in grading.page("12")


def test_chapters_are_named_as_for_a_release(grading):
    grading.hand_in("ada/first_dev.py", grading.solved)
    grading.grade("-m", "01-02")
    assert [m["module"] for m in grading.data()["modules"]] == ["01_first", "02_second"]
    grading.grade("-m", "second,first")
    assert [m["module"] for m in grading.data()["modules"]] == ["01_first", "02_second"]
    assert "02-01: 02_second comes after 01_first" in grading.grade("-m", "02-01", status=2)
    assert "no module is called '9'" in grading.grade("-m", "01-9", status=2)


def test_escapes_in_names_do_not_reach_the_terminal(grading):
    grading.hand_in("evil\x1b]0;owned\x07\u202e/first_dev.py", "def (")
    grading.hand_in("em\x1b[2Jpty/x.txt", "")
    grading.hand_in("ada/first_dev.py", grading.solved)
    output = grading.grade("--report", status=1)
    assert not set("\x1b\x07\u202e") & set(output) and r"em\x1b[2Jpty" in output and r"evil\x1b]0;owned\x07" in output
    for file in grading.results.rglob("*"):
        assert not set("\x1b\u202e") & set(file.name + (file.read_text() if file.is_file() else ""))


def test_no_exception_of_a_students_reaches_the_terminal_raw(toy, monkeypatch):
    """`tito test` writes the escapes out, too."""
    toy.tito("start", "first")
    solved = toy.read("modules/source/01_first/first_dev.py")
    begin = "### BEGIN SOLUTION double"
    code = begin + '\n    print("\\x1b]0;owned\\x07")\n    raise ValueError("\\x1b[2J\\u202e")'
    assert begin in solved
    toy.write("modules/source/01_first/first_dev.py", solved.replace(begin, code))
    monkeypatch.setenv("NO_COLOR", "1")
    for options in ([], ["--traceback"], ["--verbose"], ["--json"]):
        output = toy.tito("test", "first", *options, status=1)
        assert not set("\x1b\x07\u202e") & set(output) and r"\x1b[2J\u202e" in output.replace(r"\\", "\\")
