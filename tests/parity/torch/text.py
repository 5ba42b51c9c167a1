"""Networks without an image: the character language model and the classifier of sequences."""

from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from common import BATCH, LENGTHS, NULL, TIME, VOCABULARY, call, lstm, network

HIDDEN = 8


@network({"Vocabulary": VOCABULARY}, sizes__Hidden=HIDDEN)
def char_lm(case):
    """A part of a text in the middle of it: both LSTMs are somewhere already, and every character counts."""
    text = case.tokens("words_in", lambda: case.below(0, VOCABULARY, BATCH, TIME))
    following = case.tokens("words_out", lambda: case.below(0, VOCABULARY, BATCH, TIME))
    starts = {name: case.numbers(name, BATCH, HIDDEN)[None] for name in ["h1", "c1", "h2", "c2"]}
    h = case.embedding("letters", text, HIDDEN)
    ends = {}
    for node, at in [("hidden/lower", 1), ("hidden/upper", 2)]:
        weights = lstm(*case.gates(node, HIDDEN, HIDDEN, 4))
        start = (starts[f"h{at}"], starts[f"c{at}"])
        h, (end_h, end_c) = call(nn.LSTM(HIDDEN, HIDDEN, batch_first=True), weights, h, start)
        ends |= {f"hidden.h{at}": end_h[0], f"hidden.c{at}": end_c[0]}
    scores = case.linear("scores", h, VOCABULARY)
    loss = F.cross_entropy(scores.flatten(0, 1), following.flatten())
    return {"loss": loss, "scores": scores, **ends}


EMBED, CLASSES = 5, 3


@network({"Vocabulary": VOCABULARY, "Classes": CLASSES}, sizes__Embed=EMBED, sizes__Hidden=HIDDEN)
def sequence_classifier(case):
    def sentences():
        sentences = case.below(1, VOCABULARY, BATCH, TIME)
        for sentence, length in zip(sentences, LENGTHS):
            sentence[length:] = NULL
        return sentences

    words = case.tokens("words_in", sentences)
    label = case.tokens("labels", lambda: case.below(0, CLASSES, BATCH))
    x = pack_padded_sequence(
        case.embedding("words", words, EMBED), LENGTHS, batch_first=True, enforce_sorted=False
    )
    weights = lstm(*case.gates("hidden", EMBED, HIDDEN, 4))
    # The state at each sentence's own last word.
    _, (last, _) = call(nn.LSTM(EMBED, HIDDEN, batch_first=True), weights, x)
    scores = case.linear("scores", last[0], CLASSES)
    return {"loss": F.cross_entropy(scores, label), "scores": scores}
