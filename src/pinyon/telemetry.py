"""What the server tells about itself: one line per event on standard error, readable by people and by `grep`.

    1999-12-31T23:59:59.123Z info pinyon.app listening url=http://localhost:5080 indexes=3

A line is time (UTC), level, logger, event, and the event's fields as key=value; a value with a space or a control
character in it stands in JSON quotes. The lines of a traceback follow their event, indented.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_FIELDS: Final = "pinyon_fields"
_INDENT: Final = "    "


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all logging of the process to `stream`, by default standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`; less severe events are dropped.
        stream: where the lines go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def log_event(logger: logging.Logger, level: int, event: str, /, *, trace: bool = False, **fields: object) -> None:
    """Write one event.

    Args:
        logger: the module's own, `logging.getLogger(__name__)`.
        level: of `logging`, such as `logging.INFO`.
        event: what happened, the same words every time; what differs goes into fields.
        trace: True inside an `except` block adds the traceback.
        fields: names and values. Never a key, and no more of a request than its sizes.
    """
    logger.log(level, event, exc_info=trace, extra={_FIELDS: fields})


class _LineFormatter(logging.Formatter):
    """Turns a record, ours or a library's, into a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        time = moment.replace("+00:00", "Z")
        words = [time, record.levelname.lower(), record.name, _escape(record.getMessage())]
        fields: dict[str, object] = getattr(record, _FIELDS, {})
        words += [f"{name}={_quote(str(value))}" for name, value in fields.items()]
        return "\n".join([" ".join(words), *self._trace_lines(record)])

    def _trace_lines(self, record: logging.LogRecord) -> list[str]:
        if not record.exc_info or record.exc_info[0] is None:
            return []
        return [_INDENT + _escape(line) for line in self.formatException(record.exc_info).splitlines()]


def _escape(text: str) -> str:
    """Text on one line: a name from a request must not forge a line of the log."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _quote(text: str) -> str:
    plain = text.isprintable() and not any(character in text for character in ' "=')
    return text if plain and text else json.dumps(text)
