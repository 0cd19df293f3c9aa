"""The text encoders of taggers."""

from __future__ import annotations

import torch

from ameli_llm.attributes.tagging.text_encoder import LSTM_WIDTH, LstmEncoder, load_text, weights_digest


def test_the_lstm_reads_both_ways_and_no_padding() -> None:
    encoder = LstmEncoder(9)
    ids, attention = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    states = encoder(ids, attention)
    assert states.shape == (2, 4, LSTM_WIDTH)
    torch.testing.assert_close(states[1:, :3], encoder(ids[1:, :3], attention[1:, :3]))
    assert not states[1, 3].any()
    changed = encoder(torch.tensor([[1, 5, 6, 3]]), attention[:1])
    assert not torch.equal(changed[0, 0], states[0, 0]), "the first token has seen the last"


def test_the_packaged_encoder_is_read_as_a_bert() -> None:
    encoder, cutter = load_text("minilm", 46)
    (words,) = cutter.cut(["Crocs Ballet Flat"])
    ids = torch.tensor([words.ids])
    with torch.no_grad():
        states = encoder(ids, torch.ones_like(ids))
        again = encoder.encoded(encoder.embedded(ids), torch.ones_like(ids))  # type: ignore[operator]
    assert (encoder.name, encoder.width, states.shape) == ("all-MiniLM-L6-v2", 384, (1, len(words.ids), 384))
    torch.testing.assert_close(states, again)
    assert encoder.revision == weights_digest(encoder.model)  # type: ignore[arg-type]
