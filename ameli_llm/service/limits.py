"""How much a request may ask for and how much may wait: beyond it the service refuses, with a reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ameli_llm.config import RunConfig
from ameli_llm.dataset.images import MAX_PIXELS
from ameli_llm.errors import AmeliError


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` is the deadline of a request, ``gather`` how long a batch waits for others to go along.

    ``body`` and ``image_bytes`` are bytes, ``images`` is for each review, ``queue`` and ``changes`` are the
    reviews and the changes of products that may wait. Raises AmeliError on a value that lets nothing through.
    """

    body: int = 32 << 20
    reviews: int = 256
    images: int = 8
    image_bytes: int = 10 << 20
    pixels: int = 50_000_000
    queue: int = 512
    changes: int = 1000
    seconds: float = 30.0
    gather: float = 0.002

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= (0 if field.name == "gather" else 1):
                raise AmeliError(f"The limit {field.name} is {getattr(self, field.name)}: too little.")
        if self.queue < self.reviews:
            raise AmeliError(
                f"A request may have {self.reviews} reviews, and {self.queue} may wait: it would never fit.",
                hint="Give a longer --queue, or fewer --max-reviews.",
            )
        if self.pixels > MAX_PIXELS:
            raise AmeliError(f"At most {MAX_PIXELS:,} pixels of an image are decoded, not {self.pixels:,}.")

    def within(self, config: RunConfig) -> RunConfig:
        """The configuration, with no request to a model that lasts longer than one to the service may.

        Nobody waits for its answer any more, and it keeps others from being asked.
        """
        timeout = min(config.engine.timeout, self.seconds)
        return config.model_copy(update={"engine": config.engine.model_copy(update={"timeout": timeout})})
