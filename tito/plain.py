"""Text that somebody else wrote, fit for a terminal, a file and a page."""

from __future__ import annotations

import re

# Control characters (a terminal obeys them), marks that turn or split lines, what is not seen, and halves of UTF-16
# pairs. What joins letters and parts of an emoji, U+200C and U+200D, is no such character.
ODD = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)

WRITTEN_OUT = re.compile(r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr])")  # what looks so from the beginning


def plain(text: str) -> str:
    """The text with such characters written out, as in `\\x1b`; line feeds and tabs stay."""
    return ODD.sub(_escaped, text.replace("\r\n", "\n"))


def plain_name(name: str) -> str:
    """The name of a file, in one line; what would not be seen is written out, so that two names stay two."""
    name = WRITTEN_OUT.sub(r"\\\\", name)
    text = re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:x}", name)
    return re.sub(r"[\t\n\r]", _escaped, ODD.sub(_escaped, text))


def plain_data(data):
    """Everything that is text in what JSON holds, a `path` apart: files are found by it."""
    if isinstance(data, str):
        return plain(data)
    if isinstance(data, dict):
        return {key: value if key == "path" else plain_data(value) for key, value in data.items()}
    return [plain_data(item) for item in data] if isinstance(data, list) else data


def _escaped(match: re.Match) -> str:
    return match[0].encode("unicode_escape").decode()
