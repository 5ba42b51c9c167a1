"""Writes the cases of pools, norms of channels and borders to `layer_cases/pool.safetensors`, see README.md."""

import torch
from torch.nn import functional as F

from layer_common import Cases

CASES = Cases("pool")


def text(layer, **options):
    """A layer as a graph file writes it."""
    texts = [f"{name}: {str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items()]
    return f"{layer}({', '.join(texts)})"


def pool(name, layer, function, shape, kernel, ceil=False, count_padding=True, **options):
    """A case of one of PyTorch's pools: kernel, stride, padding and dilation are those of the layer."""
    of_torch = dict(options, ceil_mode=ceil)
    of_layer = dict(options, kernel=kernel) | ({"ceil": True} if ceil else {})
    if not count_padding:
        of_torch["count_include_pad"] = of_layer["count_padding"] = False

    def case(draw):
        return function(draw.input(*shape), kernel, **of_torch)

    case.__name__ = name
    CASES.case(text(layer, **of_layer))(case)


def largest(name, *shape, **options):
    pool(f"max_{name}", "MaxPool2d", F.max_pool2d, shape, **options)


def mean(name, *shape, **options):
    pool(f"mean_{name}", "AvgPool2d", F.avg_pool2d, shape, **options)


for both in (largest, mean):
    both("side_by_side", 2, 3, 6, 8, kernel=2)
    both("with_rest", 2, 3, 7, 5, kernel=2)
    both("one_pixel", 1, 2, 1, 1, kernel=1)
    both("overlapping", 2, 2, 9, 8, kernel=3, stride=2)
    both("overlapping_padded", 2, 2, 8, 9, kernel=3, stride=2, padding=1)
    both("overlapping_up", 2, 2, 8, 10, kernel=3, stride=2, ceil=True)
    both("up_and_left_out", 1, 2, 5, 5, kernel=2, stride=3, padding=1, ceil=True)
    both("up_padded", 2, 1, 7, 8, kernel=(3, 2), stride=(3, 2), padding=1, ceil=True)
    both("every_place", 2, 2, 4, 5, kernel=3, stride=1, padding=1)
    both("pairs", 2, 3, 9, 7, kernel=(2, 3), stride=(3, 1), padding=(1, 0))
    both("whole_picture", 2, 3, 4, 5, kernel=(4, 5))
    both("wide", 1, 1, 3, 531, kernel=3, stride=2)
    both("stride_beyond_the_kernel", 1, 2, 9, 9, kernel=2, stride=4)

largest("dilation", 2, 2, 9, 8, kernel=(3, 2), stride=1, dilation=(2, 3))
largest("dilation_up", 1, 2, 9, 10, kernel=2, stride=(2, 3), padding=1, dilation=(2, 3), ceil=True)
mean("inside", 2, 2, 8, 9, kernel=3, stride=2, padding=1, count_padding=False)
mean("inside_up", 2, 2, 7, 8, kernel=(3, 2), stride=(2, 3), padding=1, ceil=True, count_padding=False)


@CASES.case("MaxPool2d(kernel: 3, stride: 2, padding: 1)")
def max_of_equal_numbers(draw):
    """Whole numbers, most of them several times in a window: which one gets the gradient shows."""
    return F.max_pool2d(draw.input(2, 2, 9, 11).detach_().round_().requires_grad_(), 3, 2, 1)


@CASES.case("GlobalAvgPool()")
def whole_mean(draw):
    return draw.input(3, 4, 5, 7).mean(dim=(2, 3))


@CASES.case("Flatten()")
def flat(draw):
    return draw.input(3, 2, 4, 5).flatten(1)


def norm(name, *shape, training=True, **options):
    """A case of PyTorch's batch norm. The gradient of an average is what it has too much."""

    momentum = options.get("momentum", 0.1)

    def case(draw):
        x = draw.input(*shape)
        gain = draw.parameter("gain", shape[1], mean=1.0)
        bias = draw.parameter("bias", shape[1])
        averages = draw.normal(shape[1]), draw.normal(shape[1]).abs() + 0.5
        after = [value.clone() for value in averages]
        y = F.batch_norm(x, *after, gain, bias, training, momentum, options.get("epsilon", 1e-5))
        for name, before, moved in zip(["mean", "variance"], averages, after):
            draw.average(name, before).requires_grad_()
            before.grad = (before - moved).detach() / momentum
        return y

    case.__name__ = name
    CASES.case(text("BatchNorm2d", **options), "Train" if training else "Eval")(case)


norm("channels", 3, 4, 5, 6)
norm("channels_of_few_numbers", 2, 3, 1, 1)
norm("channels_of_one_picture", 1, 3, 4, 5)
norm("channels_with_options", 3, 2, 4, 4, epsilon=0.1, momentum=0.3)
norm("channels_used", 2, 4, 3, 5, training=False)


def local(name, *shape, size, alpha=1e-4, beta=0.75, k=1.0):
    """A case of PyTorch's local response normalisation."""
    options = {"size": size, "alpha": alpha, "beta": beta, "k": k}

    def case(draw):
        return F.local_response_norm(draw.input(*shape), **options)

    case.__name__ = name
    CASES.case(text("LocalResponseNorm", **options))(case)


local("near_of_the_paper", 2, 9, 4, 5, size=5, alpha=1e-4, k=2.0)
local("near_strong", 2, 7, 3, 4, size=3, alpha=1.5)
local("near_even", 2, 6, 3, 4, size=4, alpha=0.8, beta=1.25, k=0.5)
local("near_all", 1, 3, 2, 5, size=9, alpha=0.5, beta=0.5)
local("near_itself", 2, 3, 4, 1, size=1, alpha=2.0)


def border(name, *shape, left=0, right=0, top=0, bottom=0, mode="constant", number=0.0):
    """A case of PyTorch's pad."""
    sides = {"left": left, "right": right, "top": top, "bottom": bottom}
    way = {"constant": f"Constant({number})", "reflect": "Reflect", "replicate": "Replicate"}[mode]

    def case(draw):
        options = {"value": number} if mode == "constant" else {}
        return F.pad(draw.input(*shape), (left, right, top, bottom), mode, **options)

    case.__name__ = name
    given = {side: count for side, count in sides.items() if count}
    CASES.case(text("Pad", **given, **{"with": way}))(case)


border("border_of_zeros", 2, 3, 4, 5, left=1, right=2, top=3, bottom=1)
border("border_of_a_number", 1, 2, 3, 4, right=2, bottom=3, number=-1.5)
border("border_mirrored", 2, 2, 4, 5, left=4, right=1, top=2, bottom=3, mode="reflect")
border("border_repeated", 2, 2, 3, 2, left=3, right=1, top=1, bottom=4, mode="replicate")

if __name__ == "__main__":
    CASES.write()
