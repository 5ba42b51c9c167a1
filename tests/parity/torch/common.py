"""What every network needs: parameters and inputs drawn at random, PyTorch's modules run with them, cases written.

A network is a function of a `Case`. It asks the case for parameters, by the names and in the layout of the project's
graph files, and for inputs, and returns its results; what it is asked for twice, the case draws once, so that the same
function can be called again with an element changed.
"""

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

TORCH = "2.13.0"
CASES = Path(__file__).parent / "cases"

BATCH, TIME, VOCABULARY, FEATURES, REGIONS, CHANNELS = 4, 6, 11, 7, 5, 6
NULL, START, END, UNKNOWN = 0, 1, 2, 3
# Of each caption, <END> included: the longest fills its row.
LENGTHS = [6, 4, 5, 2]

NETWORKS = {}


def network(data, **overrides):
    """Makes a function the reference of the graph file of its name.

    `data`: the sizes that a data set says. `overrides`: places in the graph file and the values to put there, `.`
    written as `__`: `sizes__Hidden=8`.
    """

    def register(function):
        places = {place.replace("__", "."): str(value) for place, value in overrides.items()}
        NETWORKS[function.__name__] = (function, data, places)
        return function

    return register


IMAGES = {"Features": FEATURES, "Vocabulary": VOCABULARY}
GRIDS = {"Regions": REGIONS, "Channels": CHANNELS, "Vocabulary": VOCABULARY}


class Case:
    """The parameters and inputs of one network."""

    def __init__(self, name):
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self.parameters = {}
        self.inputs = {}
        # Parameters that no result depends on, by mathematics: their gradients are 0 but for rounding.
        self.idle = set()

    def normal(self, shape, mean, deviation):
        return mean + deviation * torch.randn(shape, generator=self.generator)

    def parameter(self, path, *shape, mean=0.0):
        """A parameter `node.name`, none of it 0."""
        if path not in self.parameters:
            self.parameters[path] = self.normal(shape, mean, 0.3).requires_grad_()
        return self.parameters[path]

    def numbers(self, name, *shape):
        """An input of numbers."""
        if name not in self.inputs:
            self.inputs[name] = self.normal(shape, 0.0, 1.0)
        return self.inputs[name]

    def tokens(self, name, make):
        """An input of indices, made once."""
        if name not in self.inputs:
            self.inputs[name] = make()
        return self.inputs[name]

    def below(self, low, high, *shape):
        """Indices from `low` to below `high`."""
        return torch.randint(low, high, shape, generator=self.generator)

    def captions(self):
        """`words_in` and `words_out`: captions of different lengths, one word apart."""
        if "words_in" not in self.inputs:
            captions = torch.full((BATCH, TIME + 1), NULL)
            for caption, length in zip(captions, LENGTHS):
                caption[0] = START
                caption[1:length] = self.below(UNKNOWN, VOCABULARY, length - 1)
                caption[length] = END
            self.inputs["words_in"] = captions[:, :-1]
            self.inputs["words_out"] = captions[:, 1:]
        return self.inputs["words_in"], self.inputs["words_out"]

    def linear(self, node, x, units, bias=True):
        """x w + b, as the layers Affine, Projection and TemporalAffine have it: w is `[inputs, units]`."""
        w = self.parameter(f"{node}.w", x.shape[-1], units)
        return F.linear(x, w.T, self.parameter(f"{node}.b", units) if bias else None)

    def embedding(self, node, words, units, **options):
        return F.embedding(words, self.parameter(f"{node}.w", VOCABULARY, units), **options)

    def gates(self, node, inputs, units, count):
        """The parameters of a recurrent layer."""
        wx = self.parameter(f"{node}.wx", inputs, count * units)
        wh = self.parameter(f"{node}.wh", units, count * units)
        return wx, wh, self.parameter(f"{node}.b", count * units)


def call(module, weights, *inputs, **options):
    """A module's results with these tensors in the place of all its parameters."""
    expected = {name: tuple(value.shape) for name, value in module.named_parameters()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    assert found == expected, f"{type(module).__name__}: {found}, not {expected}"
    return torch.func.functional_call(module, weights, inputs, options)


def recurrent(wx, wh, b, bh=None, suffix="_l0"):
    """PyTorch's names and layout for the weights of a recurrence; of its two biases, the second is 0 by default."""
    bh = torch.zeros_like(b) if bh is None else bh
    values = {"weight_ih": wx.T, "weight_hh": wh.T, "bias_ih": b, "bias_hh": bh}
    return {name + suffix: value for name, value in values.items()}


def ifgo(w):
    """The project's blocks i, f, o, g in PyTorch's order."""
    i, f, o, g = w.chunk(4, dim=-1)
    return torch.cat([i, f, g, o], dim=-1)


def lstm(wx, wh, b, suffix="_l0"):
    """The weights of an LSTM."""
    return recurrent(ifgo(wx), ifgo(wh), ifgo(b), suffix=suffix)


def per_caption(scores, words):
    """Cross entropy, summed over words that are not <NULL>, averaged over captions."""
    total = F.cross_entropy(scores.flatten(0, 1), words.flatten(), ignore_index=NULL, reduction="sum")
    return total / len(words)


def per_word(scores, words):
    """Cross entropy, averaged over words that are not <NULL>."""
    return F.cross_entropy(scores.flatten(0, 1), words.flatten(), ignore_index=NULL)


def write(name):
    """Computes a network's case, checks it and writes it; returns a line about it."""
    function, data, places = NETWORKS[name]
    case = Case(name)
    results = function(case)
    results["loss"].backward()
    gradients = {path: parameter.grad for path, parameter in case.parameters.items()}
    for path in case.idle:
        gradients[path] = torch.zeros_like(gradients[path])
    worst = check(function, case, results, gradients)

    arrays = {f"in.{name}": value for name, value in case.inputs.items()}
    arrays |= {f"param.{path}": value.detach() for path, value in case.parameters.items()}
    arrays |= {f"grad.{path}": value for path, value in gradients.items()}
    arrays |= {f"out.{role}": value.detach() for role, value in results.items()}
    arrays = {key: value.contiguous() for key, value in arrays.items()}
    header = {"graph": f"graphs/zoo/{name}.ron", "set": places, "sizes": data, "torch": TORCH}
    # One entry: the order of several is not fixed.
    save_file(arrays, CASES / f"{name}.safetensors", metadata={"case": json.dumps(header)})
    count = sum(value.numel() for value in case.parameters.values())
    loss = results["loss"].item()
    return f"{name}: {len(gradients)} parameters, {count} numbers, loss {loss:.4f}, finite differences {worst:.0e}"


STEP = 1e-5
FINITE_DIFFERENCES = 1e-7
# Of the largest gradient of a network: a parameter whose gradient is less is one that hardly matters.
LEAST_SHARE = 1e-4


def check(function, case, results, gradients):
    """Asserts that the results are numbers, that every parameter matters, and that gradients are slopes; returns how
    far the worst is off, as a share of its array's largest."""
    assert all(torch.isfinite(value).all() for value in results.values())
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    worst = 0.0
    for path, gradient in gradients.items():
        size = gradient.abs().max().item()
        assert path in case.idle or size > LEAST_SHARE * largest, f"{path} has a gradient of {size}"
        count = gradient.numel()
        elements = {gradient.abs().argmax().item(), 0, count // 2, count - 1}
        for element in elements:
            slope = difference(function, case, path, element)
            scale = size or largest
            error = abs(slope - gradient.flatten()[element].item()) / scale
            assert error < FINITE_DIFFERENCES, f"{path}[{element}]: slope {slope}, off by {error}"
            worst = max(worst, error)
    return worst


@torch.no_grad()
def difference(function, case, path, element):
    """The loss's slope, from its values on both sides: a stencil of four."""
    values = case.parameters[path].view(-1)
    before = values[element].item()

    def loss(step):
        values[element] = before + step
        return function(case)["loss"].item()

    near, far = loss(STEP) - loss(-STEP), loss(2 * STEP) - loss(-2 * STEP)
    values[element] = before
    return (8 * near - far) / (12 * STEP)
