"""Log lines: one per event, whatever the values hold."""

import io
import logging
import re

import pytest

from pinyon import telemetry

LOGGER = logging.getLogger("pinyon.test")


@pytest.fixture
def stream():
    """What `configure` writes to; the process's own logging comes back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    telemetry.configure("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def written(stream):
    """The lines, with each time replaced by T."""
    return re.sub(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "T", stream.getvalue()).splitlines()


def test_a_line_has_time_level_logger_event_and_fields(stream):
    telemetry.log_event(LOGGER, logging.INFO, "listening", port=5080, name="a b", empty="")
    assert written(stream) == ['T info pinyon.test listening port=5080 name="a b" empty=""']


def test_less_severe_events_are_dropped(stream):
    telemetry.log_event(LOGGER, logging.DEBUG, "detail")
    assert written(stream) == []


def test_a_value_cannot_forge_a_line_or_a_field(stream):
    telemetry.log_event(LOGGER, logging.INFO, "refused", id="x\nT info forged", other="y port=1")
    assert written(stream) == [r'T info pinyon.test refused id="x\nT info forged" other="y port=1"']


def test_a_message_of_a_library_is_one_line_too(stream):
    logging.getLogger("library").warning("two\n%s", "lines")
    assert written(stream) == [r"T warning library two\nlines"]


def test_a_traceback_follows_indented(stream):
    try:
        int("bad\nvalue")
    except ValueError:
        telemetry.log_event(LOGGER, logging.ERROR, "failed", trace=True)
    first, *others = written(stream)
    assert first == "T error pinyon.test failed"
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in others)
