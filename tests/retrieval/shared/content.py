"""What an index and a server have in them, as tests name and compare it."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrieval.index import Index, read_index
from retrieval.shared.server import Server
from retrieval.shared.state import key_of
from retrieval.snapshot import Snapshot


def open_again(index: Index) -> Index:
    """The index as its folder has it now, with the encoders that are loaded."""
    again = read_index(index.folder)
    vars(again).update(text_encoder=index.text_encoder)
    again.loaded_image_encoders.update(index.loaded_image_encoders)
    return again


def key(index: Index) -> str:
    """What its state is called on a server."""
    return key_of(index.entries, index.manifest.text, index.manifest.image_encoders)


def stamps(index: Index) -> Any:
    """Those of its encoders."""
    return index.manifest.text, index.manifest.image_encoders


def names(server: Server) -> list[str]:
    """The collections of a server."""
    return sorted(one.name for one in server._client.list_collections())


def equal(one: Snapshot, other: Snapshot) -> bool:
    """Whether two have the same products and, to the last bit, the same vectors."""
    arrays = [[each.text, each.image_owner, *each.images.values()] for each in (one, other)]
    return one.entries == other.entries and all(map(np.array_equal, *arrays))


def never() -> Snapshot:
    """Stands where nothing is to be embedded."""
    raise AssertionError("embedded anew")
