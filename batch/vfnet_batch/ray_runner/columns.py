"""The unit of work on a cluster: consecutive images, which become one shard."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import astuple

from vfnet_batch.entries import Cell as TableCell
from vfnet_batch.entries import Entry
from vfnet_batch.shard_scoring import Scored


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Small: they all wait in the cluster's memory from the beginning on."""
    return zlib.compress(json.dumps([astuple(entry) for entry in entries]).encode(), 1)


def unpack_entries(packed: bytes) -> list[Entry]:
    """What `pack_entries` packed."""
    entries = []
    for name, location, image_id, cell, problem in json.loads(zlib.decompress(packed)):
        entries.append(Entry(name, location, image_id, None if cell is None else TableCell(*cell), problem))
    return entries


def pack_scored(scored: Sequence[Scored]) -> bytes:
    """From an actor to the process that writes."""
    return zlib.compress(pickle.dumps(list(scored)), 1)


def unpack_scored(packed: bytes) -> list[Scored]:
    """What `pack_scored` packed; for bytes of our own cluster only."""
    scored: list[Scored] = pickle.loads(zlib.decompress(packed))
    return scored
