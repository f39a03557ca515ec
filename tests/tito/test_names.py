"""`tito export` refuses code that can only fail, at its line; `tito test` refuses an exercise without its end."""

FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"


def line_of(checkout, path, text):
    return next(i for i, line in enumerate(checkout.read(path).splitlines(), 1) if text in line)


def refused(checkout, module, *said):
    before = checkout.files()
    output = checkout.tito("export", module, status=1)
    assert all(text in output for text in said), output
    assert {n: t for n, t in checkout.files().items() if n.startswith("tinytorch")} == {
        n: t for n, t in before.items() if n.startswith("tinytorch")
    }


def test_a_name_that_nobody_defines(toy):
    toy.edit(FIRST, "return double(self.value)", "return duoble(self.value)")
    place = f"{FIRST}:{line_of(toy, FIRST, 'duoble')}"
    refused(toy, "first", f"{place}: the name duoble is defined in no exported cell. Did you mean double?")


def test_the_same_in_a_chapter_in_progress(toy):
    toy.tito("start", "first")
    toy.edit(FIRST, 'raise NotImplementedError("exercise double")', "return helper_of_a_cell_not_exported(x)")
    refused(toy, "first", "the name helper_of_a_cell_not_exported is defined in no exported cell")
    toy.edit(FIRST, "return helper_of_a_cell_not_exported(x)", "return [y for y in (x, __name__, len(str(x)))][0] * 2")
    toy.tito("export", "first")


def test_names_of_every_kind_are_known(toy):
    code = (
        "class Kind:\n    size: int = 1\n    half = size / 2\n\n    def own(self):\n        global LATER\n"
        "        LATER = __class__\n        return [i for i in range(self.size) if i < LIMIT]\n\n"
        "LIMIT = 3\ntry:\n    import tomllib\nexcept ImportError as error:\n    print(error)\n"
    )
    toy.edit(FIRST, "#| export\ndef double(x):", f"#| export\n{code}\ndef double(x):")
    toy.tito("export", "first")


def test_an_import_of_what_an_earlier_chapter_lacks(toy):
    toy.edit(SECOND, "import double", "import duoble")
    place = f"{SECOND}:{line_of(toy, SECOND, 'duoble')}"
    said = f"{place}: tinytorch.core.first has no duoble (01_first does not define it). Did you mean double?"
    refused(toy, "second", said)


def test_an_end_that_is_missing_never_passes(toy):
    core = toy.read("tinytorch/core/first.py")
    line = line_of(toy, FIRST, "BEGIN SOLUTION double")
    toy.edit(FIRST, "    return x + x\n    ### END SOLUTION\n", "    return x + x\n")
    output = toy.tito("test", "first", status=1)
    assert f"{FIRST}:{line}: BEGIN SOLUTION without an END SOLUTION" in output
    assert toy.read("tinytorch/core/first.py") == core


def test_marks_lost_in_a_chapter_in_progress_are_mentioned(toy):
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "    return x + x\n    ### END SOLUTION\n", "    return x + x\n")
    output = toy.tito("test", "first")
    line = line_of(toy, FIRST, "### BEGIN SOLUTION double")
    assert f"double has lost its mark `### END SOLUTION`: put it below the code that begins in {FIRST}:{line}" in output


def test_a_changed_test_is_mentioned_when_everything_passes(toy):
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "check(double(3), 6)", "check(double(3), 6.0)")
    output = toy.tito("test", "first")
    assert "passed" in output and "the course's were run: test_double" in output


def test_a_syntax_error_is_shown_with_its_line_and_a_caret(toy):
    toy.tito("start", "first")
    toy.edit(FIRST, 'raise NotImplementedError("exercise double")', "return x +* 2")
    output = toy.tito("test", "first", status=1)
    shown = output.splitlines()
    at = next(i for i, line in enumerate(shown) if "this is not Python" in line)
    assert f"{FIRST}:{line_of(toy, FIRST, 'return x +*')}" in shown[at]
    assert shown[at + 1].endswith("return x +* 2") and shown[at + 2].index("^") == shown[at + 1].index("*")
