"""Copies a store, or what was reviewed of it, into a folder that training and evaluation read."""

from __future__ import annotations

from pathlib import Path

from vfnet_capture.layout import image_name, record_name
from vfnet_capture.storage import FolderStorage
from vfnet_capture.store import CaptureStore
from vfnet_capture.tables import write_tables
from vfnet_client.atomic_files import make_folder_inside
from vfnet_client.exceptions import CommandError
from vfnet_client.progress import Progress


def export(store: CaptureStore, folder: Path, *, everything: bool = False) -> int:
    """Write images, records and tables; how many images. Images that are removed meanwhile are passed over.

    Args:
        folder: new or empty. It becomes a store itself.
        everything: also what nobody has accepted.

    Raises:
        CommandError: the folder holds something.
        OSError: something cannot be read or written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise CommandError(f"{folder} is not empty: name a new folder")
    make_folder_inside(folder)
    copy = CaptureStore(FolderStorage(folder.absolute()))
    copy.mark()
    exported = 0
    with Progress("exporting", len(store.ids()), "image", speaker="vfnet captured") as progress:
        for image in store.images():
            if everything or image.is_accepted:
                try:
                    picture = store.picture(image)
                except FileNotFoundError:
                    continue
                copy.storage.write(image_name(image.id, image.ending), picture)
                copy.storage.write(record_name(image.id), image.to_line())
                exported += 1
            progress.advance()
    write_tables(copy)
    return exported
