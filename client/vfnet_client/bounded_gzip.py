"""gzip, unpacked as it arrives and within bounds: a thousand bytes can stand for a million."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_GZIP_WINDOW = 31  # zlib's word for: a gzip header, the largest window
_AT_ONCE = 1 << 20
_MOST_MEMBERS = 1000
"""gzip files one after another, which count as one."""
MAGIC = b"\x1f\x8b"


class GzipError(ValueError):
    """It is not gzip, or damaged, or cut short. `str()` says which, after "it is"."""


class GzipDecoder:
    """Unpacks a stream piece by piece; whoever takes the pieces counts them, and may stop at any."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP_WINDOW)
        self._members, self._is_between = 1, True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What a piece unpacks to, in parts of at most a mebibyte.

        Raises:
            GzipError: it is no gzip, or damaged.
        """
        is_pending = False  # what has been taken in, and not been given out
        while piece or is_pending:
            if self._decoder.eof:  # another member, or the zeros that fill a tape's block
                piece = piece.lstrip(b"\0") if self._is_between else piece
                if not piece:
                    return
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise GzipError(f"in more than {_MOST_MEMBERS} parts")
                self._decoder = zlib.decompressobj(_GZIP_WINDOW)
            self._is_between = False
            try:
                unpacked = self._decoder.decompress(piece, _AT_ONCE)
            except zlib.error:
                raise GzipError("not gzip, or damaged") from None
            self._is_between = self._decoder.eof
            is_pending = len(unpacked) == _AT_ONCE and not self._decoder.eof
            piece = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            if unpacked:
                yield unpacked

    def finish(self) -> None:
        """See that all has come.

        Raises:
            GzipError: it is cut short.
        """
        if not self._decoder.eof:
            raise GzipError("cut short")


def gunzip(data: bytes, most: int) -> bytes:
    """The whole of a gzip file.

    Raises:
        GzipError: it is none, or unpacks to more than `most` bytes.
    """
    decoder, unpacked = GzipDecoder(), bytearray()
    for part in decoder.feed(data):
        unpacked += part
        if len(unpacked) > most:
            raise GzipError(f"larger than {most} bytes when it is unpacked")
    decoder.finish()
    return bytes(unpacked)
