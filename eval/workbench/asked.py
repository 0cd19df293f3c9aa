"""What the page asks for, as JSON: checked, and bounded in size."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.dataset.records import clean
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.templates.load import MAX_BYTES
from ameli_llm.untrusted import read_json

MAX_BODY = 8 * MAX_BYTES
"""Bytes of a request with a template and a review; JSON may write a character in six."""

Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(max_length=200)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewAsked(_Asked):
    """A review of the dataset by its id as text, or, with ``id`` "", one that was pasted."""

    id: Name = ""
    header: Text = ""
    body: Text = ""
    mention: Text = ""
    photo: Name = Field("", description="what the upload of its photo was answered with")


class DraftAsked(_Asked):
    """A version of a template."""

    name: Name
    source: Annotated[str, Field(max_length=MAX_BYTES)]


class TryAsked(DraftAsked):
    """A version of a template with the review that it is tried on."""

    review: ReviewAsked


AskedT = TypeVar("AskedT", bound=BaseModel)


def read(model: type[AskedT], body: bytes) -> AskedT:
    """The request in a body. Raises AmeliError that names the field."""
    try:
        return model.model_validate(clean(read_json(body, max_bytes=MAX_BODY)).value)
    except ValidationError as error:
        raise AmeliError(f"The request is wrong: {first_error(error)}.") from error
    except ValueError as error:
        raise AmeliError(f"The request is wrong: {error}.") from error
