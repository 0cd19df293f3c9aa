"""The library: opens a knowledge base once, then links reviews one at a time, in lists and in streams."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

from ameli_llm.config import RunConfig, chosen, load_config
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.dataset.objects import AnyPath, make_dataset, read_product, read_review
from ameli_llm.ids import EntityId
from ameli_llm.parallel import abatched, aenumerate, ain_parallel, batched, in_parallel
from ameli_llm.pipeline import Pipeline, assemble
from ameli_llm.sharing import Holders, Shared
from ameli_llm.types import Attributes, Link, Product, Progress, Review

AnyProduct: TypeAlias = Product | Mapping[str, Any]
AnyReview: TypeAlias = Review | Mapping[str, Any]


class Linker:
    """Links reviews to the products of one knowledge base; ``Linker.open`` makes one.

    It holds the index, the encoders and, if the configuration names one, the model, until ``close`` or the
    end of its ``with`` or ``async with`` block. Threads may share it. A model is asked two test questions
    before the first review, once.

    ```python
    from ameli_llm import Linker

    products = [
        {"id": "B1", "name": "Acme Breeze blender", "attributes": {"Color": "Red", "Power": "500 W"}},
        {"id": "B2", "name": "Acme Breeze blender", "attributes": {"Color": "Blue", "Power": "500 W"}},
    ]
    with Linker.open(products) as linker:
        link = linker.link({"body": "Love my red one with its 500 watts", "mention": "blender"})
        assert link.best.entity_id == "B1"
        proofs = {one.key: (one.verdict, one.evidence.text) for one in link.verdicts}
        assert proofs == {"Color": ("agree", "red"), "Power": ("agree", "500 watts")}
    ```
    """

    def __init__(self, pipeline: Pipeline, images: AnyPath = ".", holders: Holders | None = None) -> None:
        self._pipeline = pipeline
        self._images = images
        self._shared = Shared("linker", self._let_go)
        self._holders = holders or Holders()
        self._asking = threading.Lock()
        self._asked = False

    @classmethod
    def open(
        cls,
        knowledge_base: AnyPath | Dataset | Iterable[AnyProduct],
        *,
        config: AnyPath | RunConfig | None = None,
        engine: str = "",
        model: str = "",
        settings: Sequence[str] = (),
        index: AnyPath | None = None,
        images: AnyPath = ".",
        name: str | None = None,
        prompts: AnyPath | None = None,
        progress: Progress | None = None,
    ) -> Linker:
        """Opens a dataset folder, a file of products, or products themselves; makes the index if need be.

        - ``knowledge_base``: the path of a dataset folder or of its ``products.json`` alone, one that
          ``load_dataset`` has read, or products, each a ``Product`` or a dictionary
          ([below](#products-as-dictionaries)).
        - ``config``: a file, as ``ameli-llm tune`` writes it, or a ``RunConfig``. ``engine``, ``model`` and
          ``settings`` (``["fusion.text=2"]``) go on top, as ``--engine``, ``--model`` and ``--set`` do.
        - ``index``: the folder of the index, otherwise one in the user's cache.
        - ``images``: the folder that image paths in dictionaries are relative to.
        - ``name``: products of one name share an index, in which only what changed is embedded anew. Without
          it, every other list of products has an index of its own.
        - ``prompts``: a folder of own templates, which go first.
        - ``progress`` is called with the stage, how much of it is done, and how much there is.

        Encoders are loaded here, and no model is asked anything yet. Raises AmeliError on a wrong product,
        path, configuration or index, and MissingDependencyError, which says what to type, when a package or
        weights are not installed.

        ```python
        linker = Linker.open("DATASET", settings=["retrieval.candidates=5"])
        assert linker.config.retrieval.candidates == 5
        linker.close()
        ```
        """
        base = config if isinstance(config, RunConfig) else load_config(_path(config))
        resolved = chosen(base, engine, model, settings)
        dataset = _dataset(knowledge_base, images, name)
        pipeline = assemble(dataset, resolved, _path(index), progress, _path(prompts))
        try:
            pipeline.warm_up()
        except BaseException:
            pipeline.close()
            raise
        return cls(pipeline, images)

    def changed(self, products: Iterable[AnyProduct] = (), deleted: Iterable[EntityId] = ()) -> Linker:
        """A linker over the knowledge base with ``products`` added or replaced and those ``deleted`` gone.

        Only what changed is embedded. This linker goes on with the old state until it is closed; the model
        is shared, and freed when both are. Ids that the knowledge base does not have are nothing to delete.
        Raises AmeliError, and changes nothing, on a wrong product, when the index cannot be written, and when
        no product would be left.

        ```python
        with Linker.open([{"id": 1, "name": "Red kettle"}, {"id": 2, "name": "Blue kettle"}]) as linker:
            with linker.changed([{"id": 3, "name": "Green kettle"}], deleted=[2]) as newer:
                assert newer.link({"body": "Green!"}).best.entity_id == 3
                assert (list(newer.products), list(linker.products)) == ([1, 3], [1, 2])
        ```
        """
        read = [read_product(product, f"product {number}") for number, product in enumerate(products, 1)]
        with self._shared.in_use():
            pipeline = self._pipeline.changed(read, list(deleted))
            try:
                pipeline.warm_up()
            except BaseException:
                pipeline.index.close()
                raise
            self._holders.join()
            other = type(self)(pipeline, self._images, self._holders)
            other._asked = self._asked
            return other

    def require_changeable(self) -> None:
        """Raises AmeliError where ``changed`` would for any product: no index to write, another encoder."""
        with self._shared.in_use():
            self._pipeline.index.require_changeable()

    @property
    def kb_version(self) -> str:
        """16 characters that tell this state of the knowledge base from every other."""
        digests = f"{self._pipeline.index.manifest.kb_version} {self._pipeline.dataset.digest}"
        return hashlib.sha256(digests.encode()).hexdigest()[:16]

    @property
    def products(self) -> Mapping[EntityId, Product]:
        """The knowledge base by id, in its own order."""
        return self._pipeline.dataset.products

    def attributes(self, id_: EntityId) -> Attributes:
        """The attributes of a product: key to values, as its page writes them. Raises KeyError."""
        return self._pipeline.flow.attributes[id_]

    @property
    def config(self) -> RunConfig:
        """The configuration, with its automatic parts filled in."""
        return self._pipeline.config

    @property
    def batch_size(self) -> int:
        """How many reviews ``link_many`` links together: 16, or what the engine asks for."""
        return self._pipeline.batch_size

    @property
    def workers(self) -> int:
        """How many such batches it has under way: 1, or what the engine asks for."""
        return self._pipeline.workers

    def link(self, review: AnyReview) -> Link:
        """Links one review, a ``Review`` or a dictionary ([below](#reviews-as-dictionaries)).

        Without an id it has the id 1. What fails in a model is a state of the link, ``engine_error`` or
        ``invalid_output``. Raises AmeliError on a wrong review, on an image that cannot be used
        (ImageProblem), when the linker is closed, and when the model fails its test questions: these are then
        asked again before the next review.

        ```python
        with Linker.open("DATASET") as linker:
            link = linker.link({"header": "Great", "body": "The black one is quiet.", "mention": "blender"})
            assert link.state in ("linked", "nil", "abstained") and 0 <= link.confidence <= 1
            name = linker.products[link.best.entity_id].name
        ```
        """
        return self.link_batch([self._read(1, review)])[0]

    def link_many(self, reviews: Iterable[AnyReview]) -> Iterator[Link]:
        """Links in the order of the reviews, as they are asked for; memory is bounded however many there are.

        At most ``workers`` x ``batch_size`` reviews are read ahead; where they come more slowly than they are
        linked, ``link`` answers earlier. A review without an id has its position, from 1. Scores depend on
        what is linked together in their last digits only. Raises as ``link`` does, and what ``reviews``
        raises, after the links of all reviews before.

        ```python
        reviews = ({"body": f"It holds {litres} litres."} for litres in range(1, 40))
        with Linker.open("DATASET") as linker:
            ids = [link.review_id for link in linker.link_many(reviews)]
        assert ids == list(range(1, 40))
        ```
        """
        self._shared.require_open()
        read = (self._read(position, review) for position, review in enumerate(reviews, start=1))
        batches = in_parallel(self.link_batch, batched(read, self.batch_size), self.workers, ordered=True)
        return (link for batch in batches for link in batch)

    def link_batch(self, reviews: Sequence[Review]) -> list[Link]:
        """Links reviews that go through each stage together, in order. Raises as ``link`` does."""
        with self._shared.in_use():
            self._ask_once()
            return self._pipeline.flow.link(reviews)

    def check(self) -> None:
        """Asks the model its test questions now and not before the first review. Raises as ``link`` does."""
        with self._shared.in_use():
            self._ask_once()

    async def alink(self, review: AnyReview) -> Link:
        """As ``link``, in a thread of the event loop's executor.

        ```python
        import asyncio


        async def both():
            async with Linker.open("DATASET") as linker:
                return await asyncio.gather(linker.alink({"body": "Red"}), linker.alink({"body": "Blue"}))


        red, blue = asyncio.run(both())
        assert red.best is not None and blue.best is not None
        ```
        """
        return await asyncio.to_thread(self.link, review)

    async def alink_many(
        self, reviews: Iterable[AnyReview] | AsyncIterable[AnyReview]
    ) -> AsyncIterator[Link]:
        """As ``link_many``; an iterable that is not asynchronous is read in the event loop."""
        self._shared.require_open()
        read = (self._read(position, review) async for position, review in aenumerate(reviews, 1))
        batches = abatched(read, self.batch_size)
        async for batch in ain_parallel(self.link_batch, batches, self.workers):
            for link in batch:
                yield link

    def close(self) -> None:
        """Frees index, encoders and model, after the batches under way; a second call does nothing."""
        self._shared.close()

    def __enter__(self) -> Self:
        self._shared.require_open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.close)

    def _read(self, position: int, review: AnyReview) -> Review:
        return read_review(review, f"review {position}", default_id=position, images=self._images)

    def _let_go(self) -> None:
        self._pipeline.index.close()
        if self._holders.leave():
            self._pipeline.close()

    def _ask_once(self) -> None:
        with self._asking:
            if not self._asked:
                self._pipeline.canary()
                self._asked = True


def _dataset(
    knowledge_base: AnyPath | Dataset | Iterable[AnyProduct], images: AnyPath, name: str | None
) -> Dataset:
    if isinstance(knowledge_base, Dataset):
        return knowledge_base
    if isinstance(knowledge_base, str | os.PathLike):
        return load_dataset(Path(knowledge_base))
    return make_dataset(knowledge_base, images=images, name=name)


def _path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)
