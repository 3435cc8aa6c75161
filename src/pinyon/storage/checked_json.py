"""Small JSON files with a checksum, written anew for every change. What they hold is their owner's business.

The file, without white space, where the owner chooses the name of `content`:

    {"format_version": 1, "crc32c": <of the bytes of the content>, "content": <content>}

What must hold: the checksum covers all of the content, so that a flip of any bit is noticed.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec
from crc32c import crc32c

FORMAT_VERSION: Final = 1

Content = TypeVar("Content")


class OtherVersionError(ValueError):
    """The file has another format version than this Pinyon reads.

    Attributes:
        version: the one that it has.
    """

    def __init__(self, version: int) -> None:
        """Say which."""
        super().__init__(f"its format version is {version}, and this Pinyon reads {FORMAT_VERSION}")
        self.version = version


class _Header(msgspec.Struct, frozen=True):
    """What every format version has."""

    format_version: int


class CheckedJson(Generic[Content]):
    """The way from content to the bytes of a file, and back."""

    def __init__(self, what: str, field: str, content_type: type[Content]) -> None:
        """Name the file as in "it is not a `what`", and the field of its content."""
        self._what = what
        self._content_type = content_type
        # The content stays as bytes, so that its checksum is that of the bytes on disk.
        self._file_type: Any = msgspec.defstruct(
            "File",
            [("format_version", int), ("crc32c", int), ("content", msgspec.Raw)],
            rename={"content": field},
            frozen=True,
            forbid_unknown_fields=True,
        )

    def encode(self, content: Content) -> bytes:
        """The bytes of a file with this content."""
        encoded = msgspec.json.encode(content)
        return msgspec.json.encode(self._file_type(FORMAT_VERSION, crc32c(encoded), msgspec.Raw(encoded)))

    def decode(self, file: bytes) -> Content:
        """The content of a file.

        Raises:
            OtherVersionError: what else the file holds is not known.
            ValueError: it is damaged; says how.
        """
        try:
            version = msgspec.json.decode(file, type=_Header).format_version
            if version != FORMAT_VERSION:
                raise OtherVersionError(version)
            found = msgspec.json.decode(file, type=self._file_type)
            if crc32c(found.content) != found.crc32c:
                raise ValueError("its checksum does not match")
            return msgspec.json.decode(found.content, type=self._content_type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"it is not a {self._what}: {error}") from error
