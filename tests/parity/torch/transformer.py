"""Transformers: an encoder of regions with a decoder, normalised first, and CS231n's decoder, normalised after."""

import math

import torch
from torch import nn

from common import (
    BATCH,
    CHANNELS,
    FEATURES,
    GRIDS,
    IMAGES,
    REGIONS,
    TIME,
    VOCABULARY,
    call,
    network,
    per_word,
)

LAYERS = 2


def copy(node, at):
    """The name of a copy of a block that a node repeats."""
    return f"{node}/{at}"


def sinusoids(width):
    """`[TIME, width]`: sine and cosine in turns, slower and slower."""
    places = torch.empty(TIME, width)
    for t in range(TIME):
        for k in range(0, width, 2):
            angle = t / 10000 ** (k / width)
            places[t, k], places[t, k + 1] = math.sin(angle), math.cos(angle)
    return places


def norm(case, path, module, width):
    gain = case.parameter(f"{path}.gain", width, mean=1.0)
    return {f"{module}.weight": gain, f"{module}.bias": case.parameter(f"{path}.bias", width)}


def linear(case, path, module, inputs, units):
    w, b = case.parameter(f"{path}.w", inputs, units), case.parameter(f"{path}.b", units)
    return {f"{module}.weight": w.T, f"{module}.bias": b}


def heads(case, path, module, width, one_key=False):
    """The parameters of multi-head attention. A bias of all keys alike changes nothing; with one key, nothing but its
    value matters."""
    matrices = {name: case.parameter(f"{path}.w{name}", width, width) for name in "qkvo"}
    biases = {name: case.parameter(f"{path}.b{name}", width) for name in "qkvo"}
    case.idle |= {f"{path}.{name}" for name in (["wq", "bq", "wk", "bk"] if one_key else ["bk"])}
    return {
        f"{module}.in_proj_weight": torch.cat([matrices[name].T for name in "qkv"]),
        f"{module}.in_proj_bias": torch.cat([biases[name] for name in "qkv"]),
        f"{module}.out_proj.weight": matrices["o"].T,
        f"{module}.out_proj.bias": biases["o"],
    }


def feed_forward(case, path, module, width, inner):
    up = linear(case, f"{path}/up", f"{module}.linear1", width, inner)
    return up | linear(case, f"{path}/down", f"{module}.linear2", inner, width)


def encoder(case, node, width, inner):
    weights = {}
    for at in range(LAYERS):
        path, module = copy(node, at), f"layers.{at}"
        weights |= norm(case, f"{path}/norm1", f"{module}.norm1", width)
        weights |= heads(case, f"{path}/attention", f"{module}.self_attn", width)
        weights |= norm(case, f"{path}/norm2", f"{module}.norm2", width)
        weights |= feed_forward(case, path, module, width, inner)
    return weights


def decoder(case, node, width, inner, one_key=False):
    weights = {}
    for at in range(LAYERS):
        path, module = copy(node, at), f"layers.{at}"
        for name in ["norm1", "norm2", "norm3"]:
            weights |= norm(case, f"{path}/{name}", f"{module}.{name}", width)
        weights |= heads(case, f"{path}/attention", f"{module}.self_attn", width)
        weights |= heads(case, f"{path}/cross", f"{module}.multihead_attn", width, one_key)
        weights |= feed_forward(case, path, module, width, inner)
    return weights


def decode(layer, weights, words, memory, norm=None):
    """A decoder over words that see those before them."""
    mask = nn.Transformer.generate_square_subsequent_mask(TIME)
    return call(nn.TransformerDecoder(layer, LAYERS, norm), weights, words, memory, tgt_mask=mask)


WIDTH, INNER, HEADS = 16, 12, 8


@network(GRIDS, sizes__Width=WIDTH, sizes__Inner=INNER, nodes__placed__layer__scale=math.sqrt(WIDTH))
def transformer(case):
    words_in, words_out = case.captions()
    options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
    grid = case.numbers("grid", BATCH, REGIONS, CHANNELS)
    regions = torch.relu(case.linear("mapped", grid, WIDTH))
    weights = encoder(case, "encoder", WIDTH, INNER) | norm(case, "memory", "norm", WIDTH)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, **options)
    stack = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
    memory = call(stack, weights, regions)

    words = math.sqrt(WIDTH) * case.embedding("words", words_in, WIDTH) + sinusoids(WIDTH)
    weights = decoder(case, "decoder", WIDTH, INNER) | norm(case, "norm", "norm", WIDTH)
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, **options)
    h = decode(layer, weights, words, memory, nn.LayerNorm(WIDTH))
    scores = case.linear("scores", h, VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}


COURSE_WIDTH, COURSE_INNER, COURSE_HEADS = 8, 12, 4


@network(IMAGES, sizes__Width=COURSE_WIDTH, sizes__Inner=COURSE_INNER)
def cs231n_transformer(case):
    words_in, words_out = case.captions()
    v = case.numbers("features", BATCH, FEATURES)
    memory = case.linear("image", v, COURSE_WIDTH)[:, None]
    words = case.embedding("words", words_in, COURSE_WIDTH) + sinusoids(COURSE_WIDTH)
    weights = decoder(case, "decoder", COURSE_WIDTH, COURSE_INNER, one_key=True)
    options = {"dropout": 0.0, "batch_first": True, "norm_first": False}
    layer = nn.TransformerDecoderLayer(COURSE_WIDTH, COURSE_HEADS, COURSE_INNER, **options)
    scores = case.linear("scores", decode(layer, weights, words, memory), VOCABULARY)
    return {"loss": per_word(scores, words_out), "scores": scores}
