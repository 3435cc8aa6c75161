"""What a unary call answers when it succeeds."""

from dataclasses import dataclass, field

from pinyon.wire.http import Headers


@dataclass(frozen=True, slots=True)
class GrpcReply:
    """The message, framed, and the initial metadata that goes before it."""

    body: bytes
    metadata: Headers = field(default_factory=dict)
