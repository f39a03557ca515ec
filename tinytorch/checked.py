"""Arguments that several chapters check alike: seen to be what was asked for, or refused in words."""

import math

import numpy as np

__all__ = ["checked_number", "checked_part"]


def is_number(value) -> bool:
    """Whether `value` is a real number; True and False are none here."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_part(value, with_ends: bool) -> bool:
    """Whether a number lies between 0 and 1; 0 and 1 themselves do `with_ends`."""
    return 0 < value < 1 or (with_ends and value in (0, 1))


def checked_part(function: str, name: str, value, with_ends: bool = False) -> float:
    """`value` as a float, once it is seen to lie between 0 and 1; 0 and 1 themselves do `with_ends`.

    Raises
    ------
    ValueError
        It names the function and its argument. Whoever gave a percentage is told what part that is.
    """
    if not is_number(value) or not is_part(value, with_ends):
        asked = "from 0 to 1" if with_ends else "between 0 and 1"
        percentage = is_number(value) and value > 1 and is_part(value / 100, with_ends)
        hint = f" {value}% is {value / 100:g}." if percentage else ""
        raise ValueError(
            f"{function}: {name} is {value!r:.60}, but it has to be a number {asked}, such as 0.9 or 0.01.{hint}"
        )
    return float(value)


def checked_number(function: str, name: str, value, hint: str = "") -> float:
    """`value` as a float, once it is seen to be a finite number above 0; the hint ends the refusal."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{function}: {name} is {value!r:.60}, but it has to be a number above 0.{hint}")
    return float(value)
