"""Whatever is given as INPUT becomes the same entries."""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batch_command import write_images
from vfnet_batch.entries import Entry, from_line
from vfnet_batch.errors import BatchError
from vfnet_batch.fetch_settings import FetchSettings
from vfnet_batch.image_reading import ImageReader, stored_size
from vfnet_batch.inputs.opening import open_input
from vfnet_batch.ledger import Span
from vfnet_batch.plan import make_plan
from vfnet_client.exceptions import InvalidImageError, VFNetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of them deep, and things that are none."""
    root = tmp_path / "photos"
    write_images(root, 3, per_folder=2)
    (root / "notes.txt").write_text("no image")
    (root / ".hidden.jpg").write_bytes(b"")
    (root / ".thumbnails").mkdir()
    shutil.copy(root / "000" / "00001.jpg", root / ".thumbnails" / "small.jpg")
    (root / "loop").symlink_to(root, target_is_directory=True)
    return root


NAMES = ["000/00000.png", "000/00001.jpg", "001/00002.jpg"]


def entries_of(text: str, **options: Any) -> list[Entry]:
    """What INPUT stands for, in order of names where it has none of its own."""
    chosen = {"images": None, "column": None, "excluded": Path("output")} | options
    source = open_input(text, **chosen)
    lines = list(source.lines()) if source.is_ordered else sorted(source.lines())
    return [from_line(line, position, source.root) for position, line in enumerate(lines)]


def contents_of(entries: list[Entry], given: str = "", **options: Any) -> list[bytes | str]:
    """The bytes of each, or why there are none, after INPUT was `given` with these options."""
    chosen = {"allow_urls_to": [], "allow_schemes": []} | options

    async def read() -> list[bytes | str]:
        reader = ImageReader(2, FetchSettings.chosen(given, **chosen))

        async def one(entry: Entry) -> bytes | str:
            try:
                return await reader.read(entry)
            except InvalidImageError as error:
                return str(error)

        try:
            return [await one(entry) for entry in entries]
        finally:
            await reader.close()

    return asyncio.run(read())


def files(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in NAMES]


def test_a_folder_is_all_images_below_it(folder: Path) -> None:
    entries = entries_of(str(folder))
    assert [entry.name for entry in entries] == NAMES
    assert [entry.image_id for entry in entries] == [1, 2, 3]
    assert contents_of(entries) == files(folder)


def test_the_output_inside_its_input_is_no_input(folder: Path) -> None:
    shutil.copytree(folder / "000", folder / "output" / "pictures")
    assert [entry.name for entry in entries_of(str(folder), excluded=folder / "output")] == NAMES


def test_a_pattern_is_what_it_matches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert [entry.name for entry in entries_of("photos/0*/*")] == [f"photos/{name}" for name in NAMES]
    assert [entry.name for entry in entries_of("photos/**/*.png")] == [f"photos/{NAMES[0]}"]
    absolute = entries_of(f"{folder}/001/*")
    assert contents_of(absolute) == files(folder)[2:]
    assert contents_of(entries_of(str(folder / NAMES[2]))) == files(folder)[2:]


def test_a_name_that_is_no_text_is_read_and_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "a") + b"/b\xff\n.jpg")).write_bytes(b"content")
    (entry,) = entries_of(str(tmp_path / "a"))
    assert entry.printable_name == "b\\udcff\\n.jpg"
    assert contents_of([entry]) == [b"content"]


def test_a_list_keeps_its_order_and_says_what_is_missing(folder: Path) -> None:
    path = folder.parent / "list.txt"
    path.write_text(f"photos/{NAMES[2]}\n\n{folder / NAMES[0]}\nphotos/missing.jpg\nphotos/{NAMES[2]}\n")
    entries = entries_of(str(path))
    assert [entry.name for entry in entries][::2] == [f"photos/{NAMES[2]}", "photos/missing.jpg"]
    contents = files(folder)
    assert contents_of(entries) == [contents[2], contents[0], "there is no such file", contents[2]]
    path.write_text(NAMES[1])
    assert contents_of(entries_of(str(path), images=folder)) == [contents[1]]


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_names_images_or_holds_them(folder: Path, suffix: str, delimiter: str) -> None:
    path, contents = folder.parent / f"table{suffix}", files(folder)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["id", "Image"])
        writer.writerow(["1", f"photos/{NAMES[0]}"])
        writer.writerow(["2", base64.encodebytes(contents[1]).decode()])  # has newlines
        writer.writerow(["3", "data:image/jpeg;base64," + base64.b64encode(contents[2]).decode()])
        writer.writerow(["4", ""])
        writer.writerow(["5", "no such file"])
        writer.writerow([])
        writer.writerow(["6", base64.b64encode(b"tiny").decode()])
    entries = entries_of(str(path))
    assert [entry.name for entry in entries] == [
        f"photos/{NAMES[0]}",
        *(f"table{suffix}, row {row}" for row in (2, 3, 4)),
        "no such file",
        f"table{suffix}, row 6",
    ]
    assert contents_of(entries) == [*contents, "row 4 has no image", "there is no such file", b"tiny"]


def test_a_table_without_a_heading_and_one_with_another(folder: Path) -> None:
    path, contents = folder.parent / "table.csv", files(folder)
    path.write_text(f"{folder / NAMES[0]},cat\n{folder / NAMES[1]},dog\n")
    assert contents_of(entries_of(str(path))) == contents[:2]
    path.write_text(f"kind,photo\ncat,{folder / NAMES[1]}\n")
    assert contents_of(entries_of(str(path), column="photo")) == contents[1:2]
    with pytest.raises(BatchError, match="no column 'picture'; it has kind, photo"):
        entries_of(str(path), column="picture")


def test_automl_and_coco_need_no_boxes(folder: Path) -> None:
    contents = files(folder)
    lines = folder.parent / "data.jsonl"
    urls = ["azureml://datastores/x/paths/photos/" + NAMES[1], "photos/" + NAMES[0], "gone.jpg"]
    lines.write_text("\n".join(json.dumps({"image_url": url}) for url in urls))
    assert contents_of(entries_of(str(lines))) == [contents[1], contents[0], "there is no such file"]
    coco = folder.parent / "data.json"
    images = [{"id": 70 + i, "file_name": name} for i, name in enumerate(NAMES)]
    coco.write_text(json.dumps({"images": images, "categories": [{"id": 9, "name": "can"}]}))
    entries = entries_of(str(coco), images=folder)
    assert [entry.image_id for entry in entries] == [70, 71, 72]
    assert contents_of(entries) == contents
    assert open_input(str(coco), None, None, Path("output")).categories == {"can": 9}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("data.jsonl", '{"image_url": "a.jpg"}\n{}\nnonsense', "line 2: image_url is None"),
        ("data.json", '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}', "a second image"),
        ("data.json", "[]", "not COCO JSON"),
        ("data.xyz", "", "cannot tell what"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(VFNetError, match=words):
        entries_of(str(path))


@pytest.mark.parametrize("text", ["nowhere", "nowhere/*.jpg", "nosuchstore://bucket/x"])
def test_an_input_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(BatchError):
        entries_of(text)


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    """The folder's parent, listed over HTTP."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_url_is_all_images_below_it(folder: Path, site: str) -> None:
    (folder / "loop").unlink()
    entries = entries_of(f"{site}/photos")
    assert [entry.name for entry in entries] == NAMES
    assert entries[0].location == f"{site}/photos/{NAMES[0]}"
    missing = Entry("x", f"{site}/photos/x.jpg", 4)
    read = contents_of([*entries, missing], given=f"{site}/photos")
    assert read == [*files(folder), "127.0.0.1 answered with status 404"]


def test_a_store_of_any_protocol_is_read_through_fsspec(folder: Path) -> None:
    entries = entries_of(f"file://{folder}")
    assert [entry.name for entry in entries] == NAMES
    missing = Entry("x", f"file://{folder}/x.jpg", 4)
    read = contents_of([*entries, missing], given=f"file://{folder}")
    assert read == [*files(folder), "there is no such file"]
    pattern = entries_of(f"file://{folder}/0*/*.jpg")
    assert [entry.name for entry in pattern] == NAMES[1:]
    archive = shutil.make_archive(str(folder.parent / "photos"), "zip", folder)
    given = f"zip://::file://{archive}"
    assert contents_of(entries_of(given), given=given) == files(folder)


def test_a_list_leads_to_no_private_host_and_no_store_unless_that_was_asked_for(folder: Path, site: str) -> None:
    lines = [f"{site}/photos/{NAMES[0]}", f"file://{folder.parent}/gone/../photos/{NAMES[1]}", "memory://secret/a.jpg"]
    lines += [f"simplecache::file://{folder}/{NAMES[2]}", "http://images.invalid::file:///etc/passwd"]
    path = folder.parent / "list.txt"
    path.write_text("\n".join(lines))
    entries = entries_of(str(path))
    asked = "are fetched only where --allow-schemes"
    refused = [
        "images may come from public hosts only, and 127.0.0.1 is not: loopback",
        f"URLs of file {asked} file says so",
        f"URLs of memory {asked} memory says so",
        f"URLs of file, simplecache {asked} file simplecache says so",
        f"URLs of file, http {asked} file http says so",
    ]
    read = contents_of(entries)
    assert [entry.problem or reason for entry, reason in zip(entries, read, strict=True)] == [
        refused[0],
        "there is no such file",
        *refused[2:],
    ]
    host = site.removeprefix("http://").partition(":")[0]
    allowed = contents_of(entries, allow_urls_to=[f"{host}/32"], allow_schemes=["file", "simplecache"])
    assert [allowed[0], allowed[3]] == [files(folder)[0], files(folder)[2]]
    assert allowed[2] == refused[2]


@pytest.mark.parametrize("options", [{"allow_urls_to": ["10.0.0.1/8"]}, {"allow_schemes": ["s3://x"]}])
def test_options_that_make_no_sense_are_said_to_make_none(options: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"host bits|not the scheme"):
        FetchSettings.chosen("in", **{"allow_urls_to": [], "allow_schemes": []} | options)


def test_what_cannot_be_read_says_why_without_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    entries = [Entry("a", str(tmp_path / name), 1) for name in ("pipe.jpg", "missing.jpg", "nul\0l.jpg")]
    reasons = contents_of(entries)
    assert reasons[:2] == ["it is not a regular file", "it is not there"]
    assert reasons[2] == "it has a name that no file can have"


def test_sizes_are_those_of_the_stored_pixels(folder: Path) -> None:
    assert [stored_size(content) for content in files(folder)] == [(24, 16), (25, 17), (26, 18)]
    assert stored_size(b"no image") is None


def test_a_folder_has_a_line_for_whatever_is_called_like_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "photos", 1)
    root = tmp_path / "photos"
    shutil.copy(root / "000" / "00000.png", root / "no_ending")
    (root / "album.jpg").mkdir()
    shutil.copy(root / "000" / "00000.png", root / "album.jpg" / "inside.png")
    (root / "circle.jpg").symlink_to("circle.jpg")
    (root / "dangling.jpg").symlink_to("gone.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "locked").mkdir()
    for name in ("a.txt", "b.txt", ".hidden"):
        (root / name).touch()
    (root / "link").symlink_to(tmp_path)
    scandir = os.scandir

    def guarded(place: str) -> object:  # root may list any
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", guarded)
    expected = {
        "000/00000.png": True,
        "album.jpg": "it is a folder",
        "album.jpg/inside.png": True,
        "circle.jpg": "it is a link in a circle",
        "dangling.jpg": "it is a link that leads nowhere",
        "locked": "it is a folder that may not be read (permission denied)",
        "no_ending": True,
        "pipe.jpg": "it is not a regular file",
    }
    source = open_input(str(root), None, None, tmp_path / "output")
    entries = [from_line(line, position, source.root) for position, line in enumerate(source.lines())]
    found = dict(zip((entry.name for entry in entries), contents_of(entries), strict=True))
    assert {name: isinstance(each, bytes) or each for name, each in found.items()} == expected
    assert source.passed_over.to_json() == {".txt": 2, "hidden": 1, "folder": 1}
    monkeypatch.chdir(root)
    entries = entries_of("**/*")
    by_pattern = dict(zip((entry.name for entry in entries), contents_of(entries), strict=True))
    assert {name: isinstance(each, bytes) or each for name, each in by_pattern.items()} == expected


def test_an_input_of_one_file_is_an_image_whatever_it_is_called(folder: Path) -> None:
    shutil.copy(folder / NAMES[0], folder.parent / "picture")
    assert contents_of(entries_of(str(folder.parent / "picture"))) == files(folder)[:1]


def test_an_input_without_images_says_what_there_was(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(BatchError, match=r"no image matches .*; passed over 1 that are no images: 1 \.heic"):
        open_input(f"{tmp_path}/*", None, None, tmp_path / "output")


def test_what_urls_are_signed_with_stays_out_of_the_output_s_files(tmp_path: Path) -> None:
    path, output = tmp_path / "list.txt", tmp_path / "output"
    output.mkdir()
    url = "https://store.example/a.jpg?sv=2022&sig="
    path.write_text(f"{url}SECRET1\nhttps://u:SECRET2@store.example/b.jpg\n")
    plan = make_plan(output, open_input(str(path), None, None, output), {})
    entries = [entry for _, entry in plan.entries([Span(0, 2)])]
    assert [entry.location for entry in entries] == path.read_text().split()  # which are fetched
    assert [entry.printable_name for entry in entries] == [
        "https://store.example/a.jpg?***", "https://store.example/b.jpg",
    ]  # fmt: skip
    assert b"SECRET" not in b"".join(each.read_bytes() for each in output.iterdir())
    path.write_text(path.read_text().replace("SECRET1", "RENEWED"))  # signed anew, it goes on
    plan = make_plan(output, open_input(str(path), None, None, output), {})
    assert [entry.location for _, entry in plan.entries([Span(0, 1)])] == [f"{url}RENEWED"]
