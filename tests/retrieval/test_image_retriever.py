"""Retrieval by photos: cosines, in standard deviations from the mean of all products."""

from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Review
from retrieval.index import Index
from retrieval.retrievers.image import ImageRetriever, create, standardised
from retrieval.retrievers.retriever import image_vectors, make_queries


def test_scores_are_cosines_away_from_their_mean(
    index: Index, dataset: Dataset, config: RetrievalConfig
) -> None:
    with_photo, without = Review(1, images=("r1.png",)), Review(2, body="no photo")
    retriever: ImageRetriever = create(index, config)
    scores, none = retriever.score(make_queries([with_photo, without], dataset.review_image))
    assert np.isnan(none).all()
    encoder = index.image_encoder("")
    assert encoder is not None
    queries = make_queries([with_photo], dataset.review_image)
    ((photo,),) = image_vectors(queries, encoder)
    best = np.full(len(index), np.nan)
    for vector, row in zip(index.image_vectors(), index.image_owner, strict=True):
        best[row] = np.nanmax([best[row], vector @ photo])
    assert np.array_equal(np.isnan(scores), np.isnan(best))
    assert 0 < np.isnan(best).sum() < len(best)
    shown = ~np.isnan(best)
    away = best[shown] - best[shown].mean()
    spread = np.sqrt(((away**2).sum() + 20 * 0.12**2) / (len(away) + 20))
    np.testing.assert_allclose(scores[shown], away / spread, atol=1e-5)


def test_neither_scale_nor_level_of_an_encoder_matters_in_a_large_shop() -> None:
    cosines = np.random.default_rng(0).normal(0.2, 0.1, 5000).clip(-1, 1)
    wide, narrow = standardised(cosines), standardised(0.7 + cosines / 4)
    assert wide.std() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(narrow, wide, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("products", [2, 3, 5])
def test_a_small_shop_makes_no_mountain_of_a_molehill(products: int) -> None:
    scores = standardised(0.8 + 0.01 * np.arange(products))
    assert np.ptp(scores) < 0.5


def test_pictures_that_are_all_the_same_say_nothing() -> None:
    assert standardised(np.full(1000, 0.9)) == pytest.approx(0)
    assert standardised(np.array([0.9])) == pytest.approx(0)
