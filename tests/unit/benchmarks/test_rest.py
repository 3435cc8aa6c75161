"""Clients of peers: a connection that a server closed while it was idle is opened again."""

import http.client
from unittest.mock import MagicMock

import pytest

from benchmarks.peers.rest import Connection

CLOSED = [http.client.RemoteDisconnected("gone"), ConnectionResetError("gone"), BrokenPipeError("gone")]


def connection(*outcomes: Exception | None) -> Connection:
    """A connection whose requests end so, one after another; None is answered with `ok`."""
    opened = Connection(1)
    opened._connection = MagicMock()
    opened._connection.request.side_effect = outcomes
    opened._connection.getresponse.return_value.status = 200
    opened._connection.getresponse.return_value.read.return_value = b"ok"
    return opened


@pytest.mark.parametrize("error", CLOSED)
def test_a_connection_that_was_closed_while_idle_is_opened_again(error):
    assert connection(error, None).send("GET", "/") == b"ok"


@pytest.mark.parametrize("error", CLOSED)
def test_a_server_that_closes_every_connection_is_an_error(error):
    with pytest.raises(OSError, match="gone"):
        connection(error, error, None).send("GET", "/")


@pytest.mark.parametrize("error", [ConnectionRefusedError("no"), TimeoutError("late")])
def test_what_was_not_idle_is_not_asked_again(error):
    with pytest.raises(OSError, match=str(error)):
        connection(error, None).send("GET", "/")
