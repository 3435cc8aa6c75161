"""What a verification says, line by line."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from pinyon.errors import PinyonError


class Kind(StrEnum):
    """What a finding means."""

    OK = "ok"
    """Every byte and every invariant was checked."""

    NOTE = "note"
    """Nothing that records depend on: mostly what a stop left and the next start puts right."""

    PROBLEM = "problem"
    """Damaged, missing or contradictory."""


class Finding(NamedTuple):
    """One line: about the file or folder `path`, which `text` names too."""

    kind: Kind
    path: str
    text: str


def ok(path: str, what: str) -> Finding:
    """Nothing is wrong there; `what` counts what was checked."""
    return Finding(Kind.OK, path, f"{path}: {what}")


def note(path: str, what: str) -> Finding:
    """Something that no records depend on."""
    return Finding(Kind.NOTE, path, f"{path}: {what}")


def problem(path: str, what: str) -> Finding:
    """Something is wrong; most errors name the file themselves."""
    return Finding(Kind.PROBLEM, path, what if path in what else f"{path}: {what}")


def checked(path: str, check: Callable[[], str]) -> Iterator[Finding]:
    """What a check says: ok with the text that it returns, or a problem.

    Bytes whose checksums are right and that were written wrong may fail in any way when they are read.
    """
    try:
        yield ok(path, check())
    except PinyonError as error:
        yield problem(path, error.message)
    except (ValueError, LookupError, TypeError, ArithmeticError, AssertionError) as error:
        yield problem(path, f"it was written wrong: {type(error).__name__}: {error}")
