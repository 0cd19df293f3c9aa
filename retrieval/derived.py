"""What follows from a generation of an index (word tables, priors): made on first use and sealed."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ameli_llm.errors import AmeliError
from ameli_llm.seal import Write, open_sealed

log = logging.getLogger(__name__)


def open_derived(home: Path, name: str, write: Write, stack: ExitStack) -> Path:
    """The folder ``name`` in ``home`` with exactly what ``write`` made of it.

    What is damaged is made again, and what another process is making is waited for. Where it cannot be
    written it is made in a temporary folder, which ``stack`` removes. Raises AmeliError where that fails too.
    """
    place = home / name
    try:
        return open_sealed(place, write)
    except OSError as error:  # no right to write, a full disk, or a newer index has just replaced this one
        log.warning("%s cannot be kept (%s): it is made for this time only.", place, _reason(error))
    with ExitStack() as temporary:
        draft = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="ameli-llm-")))
        try:
            write(draft)
        except OSError as error:
            raise AmeliError(f"Cannot write {place} or {draft}: {_reason(error)}.") from error
        stack.push(temporary.pop_all())
    return draft


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
