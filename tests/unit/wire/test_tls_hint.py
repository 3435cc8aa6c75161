"""`pinyon.wire.tls_hint`: what the filter keeps, run by an interpreter of its instructions and by the kernel."""

import asyncio
import logging
import struct

import pytest

from pinyon.wire import tls_hint
from pinyon.wire.tls_hint import tls_hints

HELLO = b"\x16\x03\x01\x02\x00\x01"
CONTROL, INDEXES = 5080, range(5081, 5091)


def tcp(port: int, payload: bytes, option_words: int = 0) -> bytes:
    header = struct.pack("!HHIIBBHHH", 40_000, port, 1, 1, (5 + option_words) << 4, 0x18, 1024, 0, 0)
    return header + bytes(4 * option_words) + payload


def ipv4(content: bytes, protocol: int = 6, option_words: int = 0) -> bytes:
    words = 5 + option_words
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(content), 0, 0, 64, protocol, 0, b"", b"")
    return header + bytes(4 * option_words) + content


def ipv6(content: bytes, next_header: int = 6) -> bytes:
    return struct.pack("!IHBB16s16s", 6 << 28, len(content), next_header, 64, b"", b"") + content


def kept(packet: bytes, packet_type: int = 0) -> bool:
    """Run the filter as the kernel would: reading beyond the packet drops it."""
    program, place, a, x = tls_hint._program(CONTROL, INDEXES), 0, 0, 0

    def load(at: int, size: int) -> int:
        if at == tls_hint._PACKET_TYPE:
            return packet_type
        if at + size > len(packet):
            raise EOFError
        return int.from_bytes(packet[at : at + size], "big")

    try:
        while True:
            code, if_true, if_false, k = program[place]
            place += 1
            match code:
                case 0x20 | 0x30:
                    a = load(k, 1 if code == 0x30 else 4)
                case 0x48 | 0x50:
                    a = load(x + k, 1 if code == 0x50 else 2)
                case 0xB1:
                    x = 4 * (load(k, 1) & 0x0F)
                case 0x01:
                    x = k
                case 0x07:
                    x = a
                case 0x74:
                    a >>= k
                case 0x54:
                    a &= k
                case 0x0C:
                    a += x
                case 0x05:
                    place += k
                case 0x15 | 0x25 | 0x35:
                    holds = {0x15: a == k, 0x25: a > k, 0x35: a >= k}[code]
                    place += if_true if holds else if_false
                case 0x06:
                    return k > 0
                case _:
                    raise AssertionError(code)
    except EOFError:
        return False


@pytest.mark.parametrize("wrap", [ipv4, ipv6, lambda content: ipv4(content, option_words=3)])
@pytest.mark.parametrize("port", [CONTROL, INDEXES[0], INDEXES[-1]])
@pytest.mark.parametrize("option_words", [0, 3, 10])
def test_a_hello_to_one_of_our_ports_is_kept(wrap, port, option_words):
    assert kept(wrap(tcp(port, HELLO, option_words)))


@pytest.mark.parametrize("wrap", [ipv4, ipv6])
@pytest.mark.parametrize(
    "content",
    [
        tcp(CONTROL - 1, HELLO),
        tcp(INDEXES[-1] + 1, HELLO),
        tcp(CONTROL, b"POST /vectors/upsert"),
        tcp(CONTROL, b"PRI * HTTP/2.0"),
        tcp(CONTROL, b""),
        tcp(CONTROL, b"\x16"),
        b"",
    ],
)
def test_everything_else_is_dropped(wrap, content):
    assert not kept(wrap(content))


def test_what_leaves_the_machine_and_what_is_not_tcp_is_dropped():
    assert not kept(ipv4(tcp(CONTROL, HELLO)), packet_type=tls_hint._PACKET_OUTGOING)
    assert not kept(ipv4(tcp(CONTROL, HELLO), protocol=17))
    assert not kept(ipv6(tcp(CONTROL, HELLO), next_header=17))
    assert not kept(b"\x60")


class StoppedClock:
    def now_s(self) -> float:
        return 0.0

    def monotonic_s(self) -> float:
        return 100.0


def may_watch() -> bool:
    """Whether the system gives us a packet socket: only Linux does, and only with CAP_NET_RAW."""
    watching = tls_hint._open(CONTROL, INDEXES)
    if watching is not None:
        watching.close()
    return watching is not None


ALLOWED = may_watch()
UNAVAILABLE = "no hints for clients that speak TLS"


def test_a_client_that_speaks_tls_is_told_of_once(caplog):
    assert hints_for_three_hellos(caplog, is_served=True) == [
        "a client speaks TLS to a port in plain text" if ALLOWED else UNAVAILABLE
    ]


def test_a_port_that_is_not_ours_is_nobodys_business(caplog):
    assert hints_for_three_hellos(caplog, is_served=False) == ([] if ALLOWED else [UNAVAILABLE])


def hints_for_three_hellos(caplog, is_served: bool) -> list[str]:
    async def scenario() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with tls_hints(
            port, range(1, 2), {port: "http://localhost"}.get if is_served else (lambda _: None), StoppedClock()
        ):
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HELLO)
                await reader.read()
                writer.close()
        server.close()

    with caplog.at_level(logging.DEBUG, tls_hint.__name__):
        asyncio.run(scenario())
    return [record.message for record in caplog.records]
