"""Which files are images, by name and by content, agrees with what is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared_data import SHARED
from vfnet_images.decoding import ImageError, decode_image
from vfnet_images.kinds import ENDINGS, HEAD_BYTES, is_image_name, is_in_doubt, kind_of


def test_every_encoding_that_is_decoded_is_known_by_its_first_bytes(
    encoding: str, encoded_images: dict[str, bytes]
) -> None:
    kind = kind_of(encoded_images[encoding][:HEAD_BYTES])
    assert kind is not None
    assert kind.name.lower().split()[0] in encoding.replace("apng", "png").replace("mpo", "jpeg").lower()


@pytest.mark.parametrize(
    "head",
    [
        b"", b"BMW is no picture, although it begins so", b"P1 incident of last night", b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypheic", b"<svg xmlns=", b"8BPS\0\1", b"id,image\n1,a.jpg\n", b"\0" * HEAD_BYTES, b"%!PS-Adobe",
    ],
)  # fmt: skip
def test_others_are_not(head: bytes) -> None:
    assert kind_of(head) is None
    with pytest.raises(ImageError):
        decode_image(head)


def test_names_are_known_doubted_or_passed_over() -> None:
    for name in ("a.jpg", "A.JPEG", "a.jfif", "a.jpe", "a.mpo", "a.ppm", "a.jp2", "a.apng", "a.dib", "a.tiff"):
        assert is_image_name(name)
        assert not is_in_doubt(name)
    for name in ("a", "IMG_0001", "a.jpg_large", "a.1", "a.heic", "a.", "photo.jpg~"):
        assert is_in_doubt(name)
    for name in ("labels.txt", "instances.JSON", "a.xml", "a.mp4"):
        assert not is_in_doubt(name)
        assert not is_image_name(name)
    assert all(ending == ending.lower() for ending in ENDINGS)


def test_the_folder_from_the_field_is_all_images() -> None:
    folder = SHARED / "field" / "folder"
    if not folder.is_dir():
        pytest.skip("without ../shared")
    files: list[Path] = sorted(folder.iterdir())
    assert len(files) == 8
    for path in files:
        assert is_image_name(path.name) or is_in_doubt(path.name)
        assert kind_of(path.read_bytes()[:HEAD_BYTES]) is not None
        assert decode_image(path.read_bytes()).shape == (213, 320, 3)
