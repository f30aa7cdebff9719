"""Where the image files of a data set are, and how large they are, without decoding them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

from PIL import Image

from vfnet_client.bounded_files import is_regular, open_regular, read_file
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_images.decoding import FORMATS, ImageError, decode_image

_EXIF_ORIENTATION = 0x0112
_LONGEST_END = 64
_MOST_FOLDERS = 64
"""So many ends of a path are looked for."""
_MOST_DECODED = 100_000_000
"""Pixels; `max_image_pixels` of the served model."""
_DECODING = threading.BoundedSemaphore(2)
"""Images decoded at once to see whether they are whole: one may take half a gigabyte."""

Image.init()  # now, on one thread


class ImageFileError(ValueError):
    """Not an image file that the served model could read whole; the message says why."""


class ImageFinder:
    """Finds what annotations refer to: absolute paths as they are, everything else below `folders`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)

    def find(self, references: Sequence[str]) -> Path | None:
        """The first that exists.

        Args:
            references: relative or absolute paths, `file://`, `azureml://`, `https://` and other URLs. Of a path, ever
                shorter ends are looked for, down to the bare name: data sets move, and their folders are renamed.
        """
        return next((path for path in self._candidates(references) if is_regular(path)), None)

    def places(self, references: Sequence[str]) -> Iterator[Path]:
        """Where `find` looks for them."""
        return self._candidates(references)

    def _candidates(self, references: Sequence[str]) -> Iterator[Path]:
        for name in dict.fromkeys(name for reference in references for name in _plain_paths(reference)):
            path = PurePosixPath(name)
            if path.is_absolute():
                yield Path(path)
            parts = [part for part in path.parts if part != "/"]
            # The whole, and the shorter ends of it that could be meant.
            for start in (0, *range(max(1, len(parts) - _MOST_FOLDERS), len(parts))):
                yield from (folder.joinpath(*parts[start:]) for folder in self.folders)


class ImageHeader(NamedTuple):
    """What is known of an image without its pixels."""

    size: tuple[int, int]
    """Width and height as they are stored."""
    orientation: int = 1
    """EXIF's, 2 to 8 where viewers turn or mirror it. A TIFF's own tag is no EXIF: decoders apply it."""


def read_header(path: Path) -> ImageHeader:
    """Size and orientation.

    Read from the header. Whether the file is whole is seen from its end, and only where that leaves doubts by decoding,
    as the served model does.

    Raises:
        ImageFileError: it is no image, of no format the served model knows, or truncated.
    """
    try:
        with open_regular(path) as file:
            found = _header(file)
            if found is None:  # perhaps for what is no pixels, such as a long text
                return ImageHeader(_decoded_size(path))
            header, kind = found
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LONGEST_END))
            is_whole = _ends_whole(kind, file.read())
        return header if is_whole else header._replace(size=_decoded_size(path))
    except OSError as error:
        raise ImageFileError(error.strerror or "cannot be read") from None


def _header(file: BinaryIO) -> tuple[ImageHeader, str] | None:
    """The header, and Pillow's name of the format; None where Pillow finds none."""
    try:
        with _opened(file) as image:
            return ImageHeader(image.size, _orientation(image)), str(image.format)
    except Exception:  # damaged files make Pillow raise nearly anything
        return None


def _orientation(image: Image.Image) -> int:
    if not image.info.get("exif"):  # Pillow decodes all of a PNG to look for one
        return 1
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata make Pillow raise nearly anything
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _opened(file: BinaryIO) -> Image.Image:
    """Pillow's header of it. Its own warning of large images says nothing: sizes are looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(file, formats=FORMATS)


def _ends_whole(kind: str, end: bytes) -> bool:
    """Whether the file ends as a whole one of its format must; False also where one cannot tell."""
    if kind in ("JPEG", "MPO"):
        return end.rstrip(b"\0").endswith(b"\xff\xd9")
    if kind == "PNG":
        return end.endswith(b"IEND\xae\x42\x60\x82")
    return False


def _decoded_size(path: Path) -> tuple[int, int]:
    """By decoding as the served model does."""
    with _DECODING:
        try:
            height, width = decode_image(read_file(path, MAX_FILE_BYTES), _MOST_DECODED).shape[:2]
        except ImageError as error:
            raise ImageFileError(str(error)) from None
    return width, height


def _plain_paths(reference: str) -> Iterator[str]:
    """A reference as paths with forward slashes; of a URL the part behind its host, with `%20` and such resolved."""
    scheme, separator, rest = reference.partition("://")
    if not separator:
        yield reference.replace("\\", "/")
        if "%" in reference:  # some tools write names as in a URL
            yield unquote(reference).replace("\\", "/")
        return
    if scheme.lower() in ("http", "https"):
        rest = urlsplit(reference).path.lstrip("/")
    elif scheme.lower() == "file":
        rest = rest.removeprefix("localhost")
    else:  # a datastore's host and folders are not absolute paths of this machine
        rest = rest.lstrip("/")
    yield unquote(rest)
    yield rest
