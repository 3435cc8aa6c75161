"""A hint for the commonest mistake: a client that speaks TLS to a port in plain text.

Such a client hangs until somebody gives up, and h2corn, which reads a connection's first bytes, tells nobody what they
were. Reading them before h2corn would put a hop of our own before every byte. So the hint comes from beside: a packet
socket on which the kernel lets through nothing but the start of a TLS handshake to one of our ports. A server that is
asked nothing wrong never wakes for it.

Packet sockets are Linux's and need CAP_NET_RAW, which root has, and containers by default. Elsewhere there is no hint.
"""

import asyncio
import contextlib
import ctypes
import logging
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from pinyon.clock import Clock
from pinyon.telemetry import log_event

_ETH_P_ALL: Final = 0x0003
_SO_ATTACH_FILTER: Final = 26
_HEADERS_BYTES_MAX: Final = 256
_QUIET_S: Final = 10.0
"""A client that retries is told of once in so many seconds."""

UrlOf: TypeAlias = Callable[[int], str | None]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def tls_hints(control_port: int, index_ports: range, url_of: UrlOf, clock: Clock) -> Iterator[None]:
    """Log a hint for each client that speaks TLS to one of these ports. Entered on the event loop.

    Args:
        control_port: of the control plane.
        index_ports: of indexes.
        url_of: the address by which a client should have called a port; None for a port that is not served.
        clock: measures for how long a client that retries is not told of again.
    """
    watching = _open(control_port, index_ports)
    if watching is None:
        yield
        return
    loop = asyncio.get_running_loop()
    hints = _Hints(watching, url_of, clock)
    loop.add_reader(watching, hints.read)
    try:
        yield
    finally:
        loop.remove_reader(watching)
        watching.close()


class _Hints:
    """Turns packets that passed the filter into lines of the log."""

    def __init__(self, watching: socket.socket, url_of: UrlOf, clock: Clock) -> None:
        self._watching = watching
        self._url_of = url_of
        self._clock = clock
        self._last_s: dict[int, float] = {}

    def read(self) -> None:
        """Read one packet and log it, unless its port was in the log just now."""
        try:
            port = _destination_port(self._watching.recv(_HEADERS_BYTES_MAX))
        except (OSError, IndexError):
            return
        url = self._url_of(port)
        if url is None:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s.get(port, -_QUIET_S) >= _QUIET_S:
            self._last_s[port] = now_s
            hint = f"give the client {url}, or start Pinyon with --tls"
            log_event(log, logging.WARNING, "a client speaks TLS to a port in plain text", port=port, hint=hint)


def _open(control_port: int, index_ports: range) -> socket.socket | None:
    try:
        watching = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
    except (AttributeError, OSError) as error:
        log_event(log, logging.DEBUG, "no hints for clients that speak TLS", reason=str(error))
        return None
    try:
        _attach_filter(watching, _program(control_port, index_ports))
        _drop_what_came_before(watching)
    except OSError as error:
        watching.close()
        log_event(log, logging.DEBUG, "no hints for clients that speak TLS", reason=str(error))
        return None
    return watching


def _drop_what_came_before(watching: socket.socket) -> None:
    """Read away the packets that arrived while there was no filter."""
    with contextlib.suppress(BlockingIOError):
        while True:
            watching.recv(1)


def _attach_filter(watching: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    # struct sock_fprog: the number of instructions, and where they are.
    watching.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(instructions))
    )


def _destination_port(packet: bytes) -> int:
    header_length = 40 if packet[0] >> 4 == 6 else (packet[0] & 0x0F) * 4
    return int.from_bytes(packet[header_length + 2 : header_length + 4], "big")


# The filter, in the instructions of classic BPF: code, operand, where to go if a condition holds, and where if not.
# None is the next instruction.

_LOAD_WORD, _LOAD_BYTE, _LOAD_HALF_AT_X, _LOAD_BYTE_AT_X = 0x20, 0x30, 0x48, 0x50
_X_IS_IPV4_HEADER_LENGTH, _X_IS, _X_IS_A = 0xB1, 0x01, 0x07
_SHIFT_RIGHT, _AND, _ADD_X, _GO_TO = 0x74, 0x54, 0x0C, 0x05
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_RETURN = 0x06

_PACKET_TYPE: Final = 0xFFFFF004
_PACKET_OUTGOING: Final = 4
_TCP: Final = 6
_TLS_HANDSHAKE: Final = 0x1603


def _program(control_port: int, index_ports: range) -> list[tuple[int, int, int, int]]:
    """Keep TCP segments to our ports whose payload begins as a TLS handshake."""
    return _assemble(
        [
            (_LOAD_WORD, _PACKET_TYPE),
            (_IF_EQUAL, _PACKET_OUTGOING, "drop", None),  # On loopback each packet passes by twice.
            (_LOAD_BYTE, 0),
            (_SHIFT_RIGHT, 4),
            (_IF_EQUAL, 6, "ipv6", None),
            (_LOAD_BYTE, 9),
            (_IF_EQUAL, _TCP, None, "drop"),
            (_X_IS_IPV4_HEADER_LENGTH, 0),
            (_GO_TO, 0, "tcp"),
            "ipv6",
            (_LOAD_BYTE, 6),
            (_IF_EQUAL, _TCP, None, "drop"),
            (_X_IS, 40),
            "tcp",
            (_LOAD_HALF_AT_X, 2),
            (_IF_EQUAL, control_port, "payload", None),
            (_IF_AT_LEAST, index_ports[0], None, "drop"),
            (_IF_GREATER, index_ports[-1], "drop", None),
            "payload",
            (_LOAD_BYTE_AT_X, 12),  # The length of the TCP header, in words of four bytes, in the upper half.
            (_AND, 0xF0),
            (_SHIFT_RIGHT, 2),
            (_ADD_X, 0),
            (_X_IS_A, 0),
            (_LOAD_HALF_AT_X, 0),
            (_IF_EQUAL, _TLS_HANDSHAKE, "keep", "drop"),
            "keep",
            (_RETURN, _HEADERS_BYTES_MAX),
            "drop",
            (_RETURN, 0),
        ]
    )


def _assemble(source: Sequence[Any]) -> list[tuple[int, int, int, int]]:
    """Instructions as the kernel has them: code, jump if true, jump if false, operand; jumps count instructions."""
    places: dict[str, int] = {}
    lines: list[tuple[Any, ...]] = []
    for line in source:
        if isinstance(line, str):
            places[line] = len(lines)
        else:
            lines.append(line)
    program = []
    for number, (code, operand, *targets) in enumerate(lines, 1):
        jumps = [0 if target is None else places[target] - number for target in targets]
        if code == _GO_TO:
            program.append((code, 0, 0, jumps[0]))
        else:
            program.append((code, *(jumps or [0, 0]), operand))
    return program
