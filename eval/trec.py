"""TREC files of a run, so that any retrieval tool can score it again.

The query is the review id, the document the product id. Scores count down from the length of the list:
strictly decreasing by rank, so that no tool breaks ties in its own way. TREC knows no withheld answer: every
review with candidates is in the file, whatever its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from ameli_llm.ids import EntityId, ReviewId, id_order
from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow
from eval.measures.judged import by_retrieval, in_order

TAG = "ameli-llm"

_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def trec_id(id_: ReviewId | EntityId) -> str:
    """The id as a column: space and what TREC's readers could take for one is percent-encoded."""
    return quote(str(id_), safe=_SAFE)


def final_ranking(row: PredictionRow) -> Sequence[CandidateRow]:
    """Candidates as the run ordered them, best first by fused score."""
    return row.candidates


def run_lines(
    rows: Iterable[PredictionRow], ranking: Callable[[PredictionRow], Sequence[CandidateRow]] = final_ranking
) -> str:
    """The content of ``run.trec`` (with ``by_retrieval``: of ``retrieval.trec``), in order of review id."""
    lines = []
    for row in in_order(rows):
        ranked = ranking(row)
        for rank, candidate in enumerate(ranked, start=1):
            score = len(ranked) - rank + 1
            lines.append(f"{trec_id(row.review_id)} Q0 {trec_id(candidate.entity_id)} {rank} {score} {TAG}\n")
    return "".join(lines)


def retrieval_lines(rows: Iterable[PredictionRow]) -> str:
    """The content of ``retrieval.trec``: the order that recall@k is measured on."""
    return run_lines(rows, by_retrieval)


def qrels_lines(gold: Mapping[ReviewId, GoldRow]) -> str:
    """The content of ``qrels.trec``: the one right product of each review that has one in the KB."""
    known = [(review, row.gold) for review, row in gold.items() if row.gold is not None]
    known.sort(key=lambda item: id_order(item[0]))
    return "".join(f"{trec_id(review)} 0 {trec_id(product)} 1\n" for review, product in known)
