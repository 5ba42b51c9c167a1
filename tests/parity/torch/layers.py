"""Writes the cases of convolutions to `layer_cases/conv2d.safetensors`, see README.md."""

from torch.nn import functional as F

from layer_common import Cases

CASES = Cases("conv2d")


def convolution(name, batch, channels, height, width, units, kernel, bias=True, groups=1, **options):
    """A case of PyTorch's convolution: its options are those of the layer."""
    texts = [f"units: {units}", f"kernel: {kernel}"]
    texts += [f"{option}: {value}" for option, value in options.items()]
    texts += [f"groups: {groups}"] if groups != 1 else []
    texts += [] if bias else ["bias: false"]

    def function(draw):
        x = draw.input(batch, channels, height, width)
        w = draw.parameter("w", units, channels // groups, *kernel)
        b = draw.parameter("b", units) if bias else None
        return F.conv2d(x, w, b, groups=groups, **options)

    function.__name__ = name
    CASES.case(f"Conv2d({', '.join(texts)})")(function)


convolution("plain", 2, 3, 7, 6, 4, (3, 3))
convolution("padded", 3, 2, 5, 9, 5, (3, 3), padding=(1, 1))
convolution("points", 2, 5, 4, 3, 7, (1, 1))
convolution("points_with_stride", 2, 3, 7, 5, 4, (1, 1), stride=(2, 2), bias=False)
convolution("one_pixel", 1, 1, 1, 1, 1, (1, 1))
convolution("whole_picture", 2, 3, 4, 5, 6, (4, 5))
convolution("stride", 2, 3, 11, 10, 4, (7, 7), stride=(2, 2), padding=(3, 3))
convolution("strides_that_differ", 1, 2, 9, 8, 3, (2, 3), stride=(3, 1), padding=(1, 2))
convolution("stride_beyond_the_kernel", 1, 2, 8, 8, 3, (1, 2), stride=(3, 4), padding=(0, 1))
convolution("dilation", 2, 2, 9, 9, 3, (3, 2), padding=(2, 1), dilation=(2, 3))
convolution("groups", 2, 6, 5, 5, 4, (3, 3), padding=(1, 1), groups=2)
convolution("depthwise", 2, 4, 6, 5, 4, (3, 3), padding=(1, 1), groups=4, bias=False)
convolution("depthwise_many", 1, 3, 5, 6, 6, (2, 2), stride=(2, 1), groups=3)
convolution("everything", 3, 4, 10, 12, 6, (3, 2), stride=(2, 3), padding=(3, 2), dilation=(2, 1), groups=2)
convolution("padding_beyond_the_kernel", 1, 2, 3, 2, 3, (2, 2), padding=(4, 3))
convolution("many_tiles", 1, 3, 19, 18, 7, (3, 3), padding=(1, 1), bias=False)

if __name__ == "__main__":
    CASES.write()
