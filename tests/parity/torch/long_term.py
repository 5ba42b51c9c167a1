"""Captioners around an LSTM that the image enters in a way of its own: Show and tell, and LRCN in three forms."""

import torch
from torch import nn

from common import BATCH, FEATURES, IMAGES, TIME, VOCABULARY, call, lstm, network, per_caption, per_word

UNITS, EMBED, HIDDEN = 8, 5, 8


@network(IMAGES, sizes__Units=UNITS, sizes__Gates=4 * UNITS)
def show_and_tell(case):
    words_in, words_out = case.captions()
    image = case.linear("image", case.numbers("features", BATCH, FEATURES), UNITS, bias=False)
    words = case.embedding("words", words_in, UNITS)
    m = c = torch.zeros(BATCH, UNITS)
    outputs = []
    for x in [image, *words.unbind(1)]:
        sums = case.linear("hidden/cell/input", x, 4 * UNITS, bias=False)
        sums = sums + case.linear("hidden/cell/state", m, 4 * UNITS, bias=False)
        i, f, o, g = sums.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        m = torch.sigmoid(o) * c
        outputs.append(m)
    # What the image's own step puts out is not used.
    scores = case.linear("scores", torch.stack(outputs[1:], dim=1), VOCABULARY)
    return {"loss": per_caption(scores, words_out), "scores": scores}


LRCN = {"sizes__Embed": EMBED, "sizes__Hidden": HIDDEN, "sizes__Gates": 4 * HIDDEN}


def plain(case, node, x):
    """An LSTM over what comes before it."""
    weights = lstm(*case.gates(node, x.shape[-1], HIDDEN, 4))
    return call(nn.LSTM(x.shape[-1], HIDDEN, batch_first=True), weights, x)[0]


def with_image(case, node, sums, x):
    """An LSTM whose gates have a term of the image: its weights and those of the input x, one below the other, times
    both side by side."""
    v = case.numbers("features", BATCH, FEATURES)
    both = torch.cat([x, v[:, None].expand(-1, TIME, -1)], dim=2)
    wx = case.parameter(f"{sums}.w", x.shape[-1], 4 * HIDDEN)
    ws = case.parameter("image_sums.w", FEATURES, 4 * HIDDEN)
    wh = case.parameter(f"{node}/state.w", HIDDEN, 4 * HIDDEN)
    weights = lstm(torch.cat([wx, ws]), wh, case.parameter(f"{sums}.b", 4 * HIDDEN))
    return call(nn.LSTM(both.shape[-1], HIDDEN, batch_first=True), weights, both)[0]


@network(IMAGES, **LRCN)
def lrcn_1u(case):
    words_in, words_out = case.captions()
    h = with_image(case, "hidden", "word_sums", case.embedding("words", words_in, EMBED))
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}


@network(IMAGES, **LRCN)
def lrcn_2u(case):
    words_in, words_out = case.captions()
    first = with_image(case, "first", "word_sums", case.embedding("words", words_in, EMBED))
    scores = case.linear("scores", plain(case, "hidden", first), VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}


@network(IMAGES, **LRCN)
def lrcn_2f(case):
    words_in, words_out = case.captions()
    first = plain(case, "first", case.embedding("words", words_in, EMBED))
    h = with_image(case, "hidden", "first_sums", first)
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}
