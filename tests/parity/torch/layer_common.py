"""What every case of a single layer needs: arrays drawn at random, the layer's results in PyTorch, a file of cases.

A case is a function that a module of layers registers with `@case(layer)`, the layer as a graph file writes it. It asks
its `Draw` for inputs, in the order of the layer's ports, and for parameters, by the layer's names and in its layout, and
returns the output. The gradients are those of the output's product with an array drawn at random.
"""

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

TORCH = "2.13.0"
CASES = Path(__file__).parent / "layer_cases"


class Draw:
    """The inputs and parameters of one case."""

    def __init__(self, name):
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self.inputs = []
        self.parameters = {}

    def normal(self, *shape, mean=0.0, deviation=1.0):
        """Numbers that are neither an input nor a parameter."""
        return mean + deviation * torch.randn(shape, generator=self.generator)

    def input(self, *shape):
        """The input at the layer's next port."""
        self.inputs.append(self.normal(*shape).requires_grad_())
        return self.inputs[-1]

    def parameter(self, name, *shape, mean=0.0, deviation=0.5):
        """A parameter that gradients train."""
        value = self.normal(*shape, mean=mean, deviation=deviation).requires_grad_()
        self.parameters[name] = value
        return value

    def average(self, name, value):
        """A running average: its value before the call. No gradient is compared."""
        self.parameters[name] = value
        return value


class Cases:
    """The cases of one module, written to one file of its name."""

    def __init__(self, name):
        self.name = name
        self.cases = {}

    def case(self, layer, mode="Train"):
        """Makes a function a case, named as it is; `mode` is `Train` or `Eval`."""

        def register(function):
            assert function.__name__ not in self.cases, f"two cases {function.__name__}"
            self.cases[function.__name__] = (function, layer, mode)
            return function

        return register

    def write(self):
        found = torch.__version__.split("+")[0]
        if found != TORCH:
            raise SystemExit(f"expected torch {TORCH}, found {found}: pip install -r requirements.txt")
        # The same bits on any machine with the same instructions.
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        arrays, header = {}, {}
        for name, (function, layer, mode) in sorted(self.cases.items()):
            arrays |= {f"{name}/{key}": value for key, value in run(name, function).items()}
            header[name] = {"layer": layer, "mode": mode}
        CASES.mkdir(exist_ok=True)
        arrays = {key: value.detach().contiguous().clone() for key, value in arrays.items()}
        # One entry: the order of several is not fixed.
        entry = json.dumps({"torch": TORCH, "cases": header}, sort_keys=True)
        save_file(arrays, CASES / f"{self.name}.safetensors", metadata={"layers": entry})
        print(f"{self.name}: {len(header)} cases, {sum(a.numel() for a in arrays.values())} numbers")


def run(name, function):
    """A case's arrays by name."""
    draw = Draw(name)
    output = function(draw)
    upstream = draw.normal(*output.shape)
    # Before the backward pass, which may change none of them.
    arrays = {f"in.{at}": value for at, value in enumerate(draw.inputs)}
    arrays |= {f"param.{name}": value for name, value in draw.parameters.items()}
    arrays |= {"out": output, "upstream": upstream}
    (output * upstream).sum().backward()
    arrays |= {f"grad.in.{at}": value.grad for at, value in enumerate(draw.inputs)}
    trained = {name: value for name, value in draw.parameters.items() if value.requires_grad}
    arrays |= {f"grad.param.{name}": value.grad for name, value in trained.items()}
    assert all(torch.isfinite(value).all() for value in arrays.values()), name
    return arrays
