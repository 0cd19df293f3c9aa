"""What goes wrong with a Chroma server, as errors that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ameli_llm.errors import AmeliError


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Raises AmeliError for whatever the client raises, which has no errors of its own for nonsense."""
    try:
        yield
    except AmeliError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, AmeliError):
            cause = cause.__context__  # the client wraps what its transport raises
        if cause is not None:
            raise cause from None
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise AmeliError(
            f"The Chroma server at {url} failed, or is no Chroma server: {text}.",
            hint="See its log; retrieval.chroma_url is its address.",
        ) from error
