"""What the documents name is there: files, and commands with their options."""

import re
import shlex

import click
import pytest

from tito.cli import COMMANDS, cli
from tito.course import Course

ROOT = Course.find().root
FOLDERS = ("", "book/**/", "modules/**/", "tests/", "tinytorch/**/", "benchmarks/**/")
DOCUMENTS = sorted({path for folder in FOLDERS for path in ROOT.glob(f"{folder}*.md")})
CHAPTERS = [module.dev for module in Course.find().modules]
PERCENT = [*CHAPTERS, *sorted(ROOT.glob("book/*.py"))]
MODULES = {module.id for module in Course.find().every_module}

FENCE = re.compile(r"^( *)(```+|~~~+).*?^ *\2 *$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w./-])(?:python3? )?(?:bin/)?tito((?: +[^\s`|&;#<>)(,]+)+)")


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(document):
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if not re.match(r"[a-z]+:|#", target):
            assert (document.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS + PERCENT, ids=relative)
def test_commands_exist(document):
    for command in commands(document.read_text(encoding="utf-8")):
        check_command(shlex.split(command))


def commands(text):
    """Every `tito ...` that stands in code: in backticks, in a block, or indented."""
    blocks = [match[0] for match in FENCE.finditer(text)]
    indented = re.findall(r"^(?:# )?(?: {4}|\t)(.*)$", FENCE.sub("", text), re.M)
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for code in [*blocks, *indented, *inline]:
        for line in code.splitlines():
            for arguments in COMMAND.findall(line):
                yield re.split(r" {2,}", arguments.strip())[0]


def check_command(words):
    name, *rest = words
    if name.startswith("-"):
        assert name in ("--help", "--version", "-h"), words
        return
    assert name in COMMANDS, f"there is no command tito {name}"
    command = cli.get_command(None, name)
    while isinstance(command, click.Group) and rest and command.get_command(None, rest[0]):
        name, command, rest = f"{name} {rest[0]}", command.get_command(None, rest[0]), rest[1:]
    if isinstance(command, click.Group) and rest:
        assert rest[0].startswith("-"), f"there is no command tito {name} {rest[0]}"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"tito {name} has no option {word}"
        elif re.fullmatch(r"\d\d_[a-z]+", word):
            assert word in MODULES, f"tito {name}: there is no chapter {word}"


def test_the_check_itself():
    text = "Run `tito test --modul 2`, not `tito tset`, `tito demo digits`.\n\n    bin/tito export --all   everything\n"
    assert list(commands(text)) == ["export --all", "test --modul 2", "tset", "demo digits"]
    check_command(["demo", "digits", "--seeds", "5"])
    for wrong in ("test --modul 2", "tset", "demo digits --speed 5", "demo digit", "start 99_nothing"):
        with pytest.raises(AssertionError):
            check_command(wrong.split())
