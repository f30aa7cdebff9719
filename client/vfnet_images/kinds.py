"""The kinds of image files that are read: the one place that knows them, by the endings of names and by content."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageKind:
    """A format, with what else is called so."""

    name: str
    pillow: str
    """Pillow's name of it."""
    endings: tuple[str, ...]
    """Of names, in lower case: what cameras, phones, browsers and programs write."""
    beginnings: tuple[bytes, ...]
    """Of files that claim to be one."""
    head: re.Pattern[bytes]
    """What the first `HEAD_BYTES` of one match, and hardly those of anything else."""


HEAD_BYTES = 32

# JPEG: .jfif is what browsers save, .mpo (several pictures) what stereo cameras and phones do, .jpe an old Windows
# name. PNG: .apng is animated. BMP: .dib is the same file. PPM is netpbm's, OpenCV reads P1 to P6 alike.
KINDS = (
    ImageKind(
        "JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"), (b"\xff\xd8\xff",),
        re.compile(rb"\xff\xd8\xff"),
    ),
    ImageKind("PNG", "PNG", (".png", ".apng"), (b"\x89PNG",), re.compile(rb"\x89PNG\r\n\x1a\n")),
    ImageKind("GIF", "GIF", (".gif",), (b"GIF8",), re.compile(rb"GIF8[79]a")),
    ImageKind(
        "BMP", "BMP", (".bmp", ".dib"), (b"BM",),
        re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    ),
    ImageKind("WebP", "WEBP", (".webp",), (b"RIFF",), re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ImageKind(
        "TIFF", "TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+"),
        re.compile(rb"II[*+]\0|MM\0[*+]"),
    ),
    ImageKind(
        "PPM", "PPM", (".ppm", ".pgm", ".pbm", ".pnm"), tuple(b"P%d" % number for number in range(1, 7)),
        re.compile(rb"P[1-6]\s+[#\d]"),
    ),
    ImageKind(
        "JPEG 2000", "JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
        (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ),
)  # fmt: skip

ENDINGS = frozenset(ending for kind in KINDS for ending in kind.endings)
NAMES = f"{', '.join(kind.name for kind in KINDS[:-1])} and {KINDS[-1].name}"
"""For people."""

_NO_IMAGES = frozenset(
    ending
    for line in (
        ".txt .lst .md .rst .log .csv .tsv .json .jsonl .ndjson .geojson .xml .yaml .yml .toml .ini .cfg .conf .lock",
        ".html .htm .css .js .ts .py .pyc .ipynb .sh .bat .c .h .cpp .rs .go .java .sql .db .sqlite .parquet .arrow",
        ".feather .tfrecord .npy .npz .mat .pkl .pt .pth .onnx .xls .xlsx .doc .docx .ppt .pptx .pdf .zip .gz .tgz",
        ".bz2 .xz .7z .tar .rar .mp4 .mov .avi .mkv .webm .mp3 .wav .exe .dll .so .lnk .url .tmp .part",
    )
    for ending in line.split()
)
"""Endings whose files are not opened to see whether they are images for all that: data sets have as many of some as
images, and opening costs ten times what listing does."""


def ending_of(name: str) -> str:
    """The ending of a file's name, in lower case, with its dot; empty where it has none."""
    dot = name.rfind(".")  # a Path each, or os.path.splitext, would be most of a listing
    return name[dot:].lower() if dot > 0 else ""


def is_image_name(name: str) -> bool:
    """Whether a name ends as an image's."""
    return ending_of(name) in ENDINGS


def is_in_doubt(name: str) -> bool:
    """Whether only a file's content says if it is an image: its name has no ending, or one that nobody knows."""
    ending = ending_of(name)
    return ending not in ENDINGS and ending not in _NO_IMAGES


def kind_of(head: bytes) -> ImageKind | None:
    """The kind of a file by its first bytes, `HEAD_BYTES` of them or more; None: it is no image."""
    return next((kind for kind in KINDS if kind.head.match(head)), None)


def claimed_kind(head: bytes) -> ImageKind | None:
    """The kind that a file claims to be, be it ever so damaged; None: none of these."""
    return next((kind for kind in KINDS if head.startswith(kind.beginnings)), None)
