"""Captioners that look at regions of the image before each word: Show, attend and tell, and Up-Down."""

import torch
from torch import nn

from common import (
    BATCH,
    CHANNELS,
    GRIDS,
    NULL,
    REGIONS,
    START,
    VOCABULARY,
    call,
    lstm,
    network,
    per_caption,
)

EMBED, HIDDEN, ATTENTION = 5, 8, 6


def cell(case, node, x, h, c):
    """A step of an LSTM: its new state and memory."""
    weights = lstm(*case.gates(node, x.shape[-1], HIDDEN, 4), suffix="")
    return call(nn.LSTMCell(x.shape[-1], HIDDEN), weights, x, (h, c))


def look(case, node, keys, regions, query):
    """The regions' mean, weighted by how well their keys go with the query; and the weights."""
    v = case.parameter(f"{node}.v", ATTENTION)
    weights = torch.softmax(torch.tanh(keys + query[:, None]) @ v, dim=1)
    return torch.einsum("nr,nrc->nc", weights, regions), weights


@network(GRIDS, sizes__Embed=EMBED, sizes__Hidden=HIDDEN, sizes__Attention=ATTENTION)
def show_attend_tell(case):
    words_in, words_out = case.captions()
    grid = case.numbers("grid", BATCH, REGIONS, CHANNELS)
    mean = grid.mean(dim=1)
    h = torch.tanh(case.linear("h0_sum", mean, HIDDEN))
    c = torch.tanh(case.linear("c0_sum", mean, HIDDEN))
    keys = case.linear("keys", grid, ATTENTION)
    # The vector of <START> is 0 and stays it.
    with torch.no_grad():
        case.parameter("words.w", VOCABULARY, EMBED)[START] = 0
    words = case.embedding("words", words_in, EMBED, padding_idx=START)
    scores, attention = [], []
    for word in words.unbind(1):
        query = case.linear("hidden/query", h, ATTENTION, bias=False)
        context, weights = look(case, "hidden/attend", keys, grid, query)
        z = torch.sigmoid(case.linear("hidden/gate_sum", h, 1)) * context
        h, c = cell(case, "hidden/cell", torch.cat([word, z], dim=1), h, c)
        meeting = word + case.linear("from_state", h, EMBED) + case.linear("from_seen", z, EMBED)
        scores.append(case.linear("scores", torch.tanh(meeting), VOCABULARY))
        attention.append(weights)
    scores, attention = torch.stack(scores, dim=1), torch.stack(attention, dim=1)
    seen = (attention * (words_out != NULL)[:, :, None]).sum(dim=1)
    coverage = ((1 - seen) ** 2).sum(dim=1).mean()
    loss = per_caption(scores, words_out) + coverage
    return {"loss": loss, "scores": scores, "attention": attention}


@network(GRIDS, sizes__Embed=EMBED, sizes__Hidden=HIDDEN, sizes__Attention=ATTENTION)
def up_down(case):
    words_in, words_out = case.captions()
    grid = case.numbers("grid", BATCH, REGIONS, CHANNELS)
    mean = grid.mean(dim=1)
    keys = case.linear("keys", grid, ATTENTION, bias=False)
    words = case.embedding("words", words_in, EMBED)
    h1 = c1 = h2 = c2 = torch.zeros(BATCH, HIDDEN)
    scores, attention = [], []
    for word in words.unbind(1):
        h1, c1 = cell(case, "hidden/where", torch.cat([h2, mean, word], dim=1), h1, c1)
        query = case.linear("hidden/query", h1, ATTENTION, bias=False)
        context, weights = look(case, "hidden/attend", keys, grid, query)
        h2, c2 = cell(case, "hidden/what", torch.cat([context, h1], dim=1), h2, c2)
        scores.append(case.linear("scores", h2, VOCABULARY))
        attention.append(weights)
    scores, attention = torch.stack(scores, dim=1), torch.stack(attention, dim=1)
    return {"loss": per_caption(scores, words_out), "scores": scores, "attention": attention}
