"""The processes that train one model together, as ``accelerate launch`` started them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import MissingPackageError

if TYPE_CHECKING:
    import torch

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process is number ``rank`` of ``count``. What they do together, all of them have to do."""

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's part of the rows, which may be empty; no row is in two."""
        return rows[self.rank :: self.count]

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Puts the sum over all processes into each tensor."""
        if self.count > 1:
            from accelerate.utils import reduce

            for tensor in tensors:
                tensor.copy_(reduce(tensor, "sum"))

    def told(self, value: Told) -> Told:
        """The value of the main process."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        values = [value]
        broadcast_object_list(values)
        return values[0]

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE = Processes()


def join() -> Processes:
    """Joins the others and takes this process's GPU; a process that was started alone stays alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ALONE
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingPackageError("accelerate", "smollm2") from error
    state = PartialState()
    return Processes(state.process_index, state.num_processes)
