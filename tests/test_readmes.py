"""The samples in the READMEs run, and where a comment says what prints, that is what prints."""

import ast
import re

import pytest

from tito import workspace
from tito.course import Course

COURSE = Course.find()
READMES = [module.directory / "README.md" for module in COURSE.modules if not workspace.is_started(COURSE, module)]
SAMPLE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


@pytest.mark.parametrize("readme", READMES, ids=[path.parent.name for path in READMES])
def test_samples(readme, capsys, tmp_path, monkeypatch):
    """One after the other, in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    samples, names = SAMPLE.findall(readme.read_text(encoding="utf-8")), {}
    assert samples
    for sample in samples:
        for statement in ast.parse(sample).body:
            exec(compile(ast.Module([statement], []), str(readme), "exec"), names)
            printed, said = capsys.readouterr().out.split(), comment(sample, statement)
            assert said in ([], printed), ast.get_source_segment(sample, statement)


def comment(sample: str, statement: ast.stmt) -> list[str]:
    """The words of the comment behind a statement and in the lines below it."""
    lines = sample.splitlines()
    behind = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
    said = [behind.strip()]
    for line in lines[statement.end_lineno :]:
        if not line.strip().startswith("#"):
            break
        said.append(line.strip())
    return " ".join(text.removeprefix("#") for text in said).split()


def test_the_check_itself():
    sample = "x = 1\nprint(x)  # 1\n\nprint('a\\nb')\n# a\n# b\nprint(2)\n"
    assert [comment(sample, s) for s in ast.parse(sample).body] == [[], ["1"], ["a", "b"], []]
