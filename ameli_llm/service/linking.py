"""Links reviews of several requests together and writes the answers: the part that runs in threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.linker import Linker
from ameli_llm.runs import PredictionRow
from ameli_llm.service.asking import Asked
from ameli_llm.service.bodies import LinkAnswer
from ameli_llm.service.limits import Limits
from ameli_llm.service.pictures import Pictures, image_problem, store
from ameli_llm.types import AttributeValue, Link, Review, State


@dataclass(frozen=True, slots=True)
class Job:
    """A review to link, with its photos on the disk; ``pointer`` is where it stands in the body."""

    review: Review
    pictures: Pictures
    pointer: str

    def close(self) -> None:
        """Deletes the photos that were stored."""
        self.pictures.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """A line of JSON, and what is counted of it."""

    text: bytes
    state: State
    kb_version: str


def jobs_of(asked: Asked, home: Path | None, limits: Limits) -> list[Job]:
    """A job for each review. Raises Problem, and leaves no file, for a photo that cannot be used."""
    jobs: list[Job] = []
    try:
        for number, body in enumerate(asked.reviews):
            pointer = asked.pointer(number)
            pictures = store(body.images, asked.uploads, home, limits, pointer)
            review = Review(
                id=body.own_id(number + 1),
                header=body.header or "",
                body=body.body or "",
                mention=(body.mention or "").strip(),
                images=pictures.paths,
            )
            jobs.append(Job(review, pictures, pointer))
    except BaseException:
        for job in jobs:
            job.close()
        raise
    return jobs


def link(jobs: Sequence[Job], linker: Linker, kb_version: str) -> list[Answer | Exception]:
    """An answer for each job, or why there is none; what cannot be linked together is linked alone."""
    try:
        links = linker.link_batch([job.review for job in jobs])
    except Exception as error:  # a fault, too, must not fail the reviews of other requests
        if len(jobs) > 1:
            return [answer for job in jobs for answer in link([job], linker, kb_version)]
        if isinstance(error, ImageProblem):
            return [image_problem(error, f"{jobs[0].pointer}/images")]
        return [error]
    return [
        Answer(_row(one, job.pictures.names, kb_version), one.state, kb_version)
        for job, one in zip(jobs, links, strict=True)
    ]


def _row(link: Link, names: Mapping[str, str], kb_version: str) -> bytes:
    """The link's line of ``predictions.jsonl``, in which images have the client's names for them."""
    link = replace(link, attributes=tuple(_renamed(value, names) for value in link.attributes))
    row = dict(PredictionRow.of(link)) | {"kb_version": kb_version}
    return LinkAnswer.model_construct(**row).model_dump_json().encode()


def _renamed(value: AttributeValue, names: Mapping[str, str]) -> AttributeValue:
    image = value.evidence.image
    if image is None:
        return value
    return replace(value, evidence=replace(value.evidence, image=names.get(image, Path(image).name)))
