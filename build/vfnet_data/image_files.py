"""Where the image files of a data set are, and how large they are, without decoding them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000")
"""What the served model decodes, by Pillow's names."""
_EXIF_ORIENTATION = 0x0112
_LONGEST_END = 64

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
        return next((path for path in self._candidates(references) if _is_file(path)), None)

    def _candidates(self, references: Sequence[str]) -> Iterator[Path]:
        for name in dict.fromkeys(name for reference in references for name in _plain_paths(reference)):
            path = PurePosixPath(name)
            if path.is_absolute():
                yield Path(path)
            parts = [part for part in path.parts if part != "/"]
            for start in range(len(parts)):
                yield from (folder.joinpath(*parts[start:]) for folder in self.folders)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height as they are stored.

    Read from the header. Whether the file is whole is seen from its end, and only where that leaves doubts by decoding.

    Raises:
        ImageFileError: it is no image, of no format the served model knows, or truncated.
    """
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            size, kind = image.size, str(image.format)
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LONGEST_END))
            if not _ends_whole(kind, file.read()):
                _decode(path)
    except ImageFileError:
        raise
    except OSError as error:  # UnidentifiedImageError is one
        said = error.strerror or "not an image in a format that the model reads, or its header is damaged"
        raise ImageFileError(said) from None
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise ImageFileError(f"cannot be read as an image ({type(error).__name__}: {error})"[:200]) from None
    return size


def is_shown_turned(path: Path) -> bool:
    """Whether viewers show it with width and height exchanged (EXIF orientation 5 to 8); False if it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
    except Exception:
        return False


def _ends_whole(kind: str, end: bytes) -> bool:
    """Whether the file ends as a whole one of its format must; False also where one cannot tell."""
    if kind in ("JPEG", "MPO"):
        return end.rstrip(b"\0").endswith(b"\xff\xd9")
    if kind == "PNG":
        return end.endswith(b"IEND\xae\x42\x60\x82")
    return False


def _decode(path: Path) -> None:
    with Image.open(path, formats=FORMATS) as image:
        try:
            image.load()
        except Exception as error:
            said = f" ({error})" if str(error) else ""
            raise ImageFileError(f"truncated or damaged{said}"[:200]) from None


def _plain_paths(reference: str) -> Iterator[str]:
    """A reference as paths with forward slashes; of a URL the part behind its host, with `%20` and such resolved."""
    scheme, separator, rest = reference.partition("://")
    if not separator:
        yield reference.replace("\\", "/")
        return
    if scheme.lower() in ("http", "https"):
        rest = urlsplit(reference).path.lstrip("/")
    elif scheme.lower() == "file":
        rest = rest.removeprefix("localhost")
    else:  # a datastore's host and folders are not absolute paths of this machine
        rest = rest.lstrip("/")
    yield unquote(rest)
    yield rest


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name longer than any file's
        return False
