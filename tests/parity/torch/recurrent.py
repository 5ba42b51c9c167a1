"""Captioners whose recurrence is one of PyTorch's layers: CS231n, NeuralTalk, m-RNN, and the GRU with tied words."""

import torch
from torch import nn

from common import (
    BATCH,
    FEATURES,
    IMAGES,
    TIME,
    VOCABULARY,
    call,
    lstm,
    network,
    per_caption,
    per_word,
    recurrent,
)

EMBED, HIDDEN, MULTIMODAL = 5, 8, 9


@network(IMAGES, sizes__Embed=EMBED, sizes__Hidden=HIDDEN)
def cs231n_rnn(case):
    words_in, words_out = case.captions()
    h0 = case.linear("h0", case.numbers("features", BATCH, FEATURES), HIDDEN)
    x = case.embedding("words", words_in, EMBED)
    weights = recurrent(*case.gates("hidden", EMBED, HIDDEN, 1))
    h, _ = call(nn.RNN(EMBED, HIDDEN, batch_first=True), weights, x, h0[None])
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_caption(scores, words_out), "scores": scores}


@network(IMAGES, sizes__Embed=EMBED, sizes__Hidden=HIDDEN)
def cs231n_lstm(case):
    words_in, words_out = case.captions()
    h0 = case.linear("h0", case.numbers("features", BATCH, FEATURES), HIDDEN)
    x = case.embedding("words", words_in, EMBED)
    weights = lstm(*case.gates("hidden", EMBED, HIDDEN, 4))
    start = (h0[None], torch.zeros(1, BATCH, HIDDEN))
    h, _ = call(nn.LSTM(EMBED, HIDDEN, batch_first=True), weights, x, start)
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_caption(scores, words_out), "scores": scores}


@network(IMAGES, sizes__Embed=EMBED, sizes__Hidden=HIDDEN)
def neuraltalk_rnn(case):
    """The image beside every word: the sum of two products is one product of both side by side."""
    words_in, words_out = case.captions()
    v = case.numbers("features", BATCH, FEATURES)
    x = case.embedding("words", words_in, EMBED)
    both = torch.cat([x, v[:, None].expand(-1, TIME, -1)], dim=2)
    we, be = case.parameter("image.w", FEATURES, HIDDEN), case.parameter("image.b", HIDDEN)
    wx, bx = case.parameter("word_sums.w", EMBED, HIDDEN), case.parameter("word_sums.b", HIDDEN)
    wh, bh = case.parameter("hidden/state.w", HIDDEN, HIDDEN), case.parameter("hidden/state.b", HIDDEN)
    weights = recurrent(torch.cat([wx, we]), wh, bx + be, bh)
    layer = nn.RNN(EMBED + FEATURES, HIDDEN, nonlinearity="relu", batch_first=True)
    h, _ = call(layer, weights, both)
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_caption(scores, words_out), "scores": scores}


@network(IMAGES, sizes__Embed=EMBED, sizes__Hidden=HIDDEN, sizes__Multimodal=MULTIMODAL)
def m_rnn(case):
    words_in, words_out = case.captions()
    v = case.numbers("features", BATCH, FEATURES)
    x = case.embedding("words", words_in, EMBED)
    w = case.linear("words2", x, HIDDEN)
    # The map to w is the recurrence's own map of its input.
    own = case.parameter("words2.w", EMBED, HIDDEN), case.parameter("words2.b", HIDDEN)
    weights = recurrent(own[0], case.parameter("hidden/state.w", HIDDEN, HIDDEN), own[1])
    r, _ = call(nn.RNN(EMBED, HIDDEN, nonlinearity="relu", batch_first=True), weights, x)
    meeting = case.linear("from_word", w, MULTIMODAL, bias=False)
    meeting = meeting + case.linear("from_state", r, MULTIMODAL, bias=False)
    meeting = meeting + case.linear("from_image", v, MULTIMODAL, bias=False)[:, None]
    m = 1.7159 * torch.tanh(2 / 3 * meeting)
    scores = case.linear("scores", m, VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}


@network(IMAGES, sizes__Embed=EMBED, sizes__Hidden=HIDDEN)
def gru_tied(case):
    words_in, words_out = case.captions()
    h0 = torch.relu(case.linear("start", case.numbers("features", BATCH, FEATURES), HIDDEN))
    x = case.embedding("words", words_in, EMBED)
    wx, wh, b = case.gates("hidden", EMBED, HIDDEN, 3)
    # Of the recurrent product, only the candidate's part has a bias of its own.
    bh = torch.cat([torch.zeros(2 * HIDDEN), case.parameter("hidden.bn", HIDDEN)])
    h, _ = call(nn.GRU(EMBED, HIDDEN, batch_first=True), recurrent(wx, wh, b, bh), x, h0[None])
    meant = torch.relu(case.linear("meant", h, EMBED))
    vectors, bias = case.parameter("words.w", VOCABULARY, EMBED), case.parameter("scores.b", VOCABULARY)
    scores = nn.functional.linear(meant, vectors, bias)
    return {"loss": per_word(scores, words_out), "scores": scores}
