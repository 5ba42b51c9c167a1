"""Cases of VGG-16 and ResNet-50 for tests/encoders.rs: `python encoders.py` writes encoders/*.safetensors.

The networks are torchvision's, with its names, a sixteenth of the channels and pictures of 64 x 64 pixels. Weights and
pictures are drawn by a rule that the test follows too, so that a case has only their names and shapes, and the results.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

WIDTH = 16
SIDE = 64


def drawn(name, count):
    """Numbers between -1 and 1: FNV-1a of the name, stirred by SplitMix64."""
    hash = 0xCBF29CE484222325
    for byte in name.encode():
        hash = ((hash ^ byte) * 0x100000001B3) % (1 << 64)
    with np.errstate(over="ignore"):
        z = np.uint64(hash) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
    return bits.astype(np.float64) / 2.0**52 - 1.0


def weights(name, shape):
    x = drawn(name, int(np.prod(shape))).reshape(shape)
    if len(shape) > 1:
        return (3.0 / np.prod(shape[1:])) ** 0.5 * x
    return 1.0 + 0.5 * x if name.endswith(("var", "weight")) else 0.1 * x


class Vgg16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for units, times in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
            for _ in range(times):
                layers += [nn.Conv2d(channels, units // WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
                channels = units // WIDTH
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        flat, units = channels * (SIDE // 32) ** 2, 4096 // WIDTH
        self.classifier = nn.Sequential(
            nn.Linear(flat, units), nn.ReLU(), nn.Dropout(), nn.Linear(units, units), nn.ReLU(), nn.Dropout(),
            nn.Linear(units, 10),
        )

    def forward(self, x):
        grid = self.features[:-1](x)
        features = self.classifier[:5](torch.flatten(self.features[-1](grid), 1))
        return features, grid


class Bottleneck(nn.Module):
    def __init__(self, channels, inner, outer, stride, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = None
        if downsample:
            conv = nn.Conv2d(channels, outer, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outer))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        channels = 64 // WIDTH
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for stage, (inner, times) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
            inner, blocks = inner // WIDTH, []
            for at in range(times):
                stride = 2 if at == 0 and stage > 1 else 1
                blocks.append(Bottleneck(channels, inner, 4 * inner, stride, at == 0))
                channels = 4 * inner
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        grid = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return grid.mean((2, 3)), grid


def case(name, network):
    network = network.double().eval()
    arrays, state = {}, {}
    for parameter, array in network.state_dict().items():
        if parameter.endswith("num_batches_tracked"):
            state[parameter] = array
            continue
        arrays[f"shape.{parameter}"] = np.array(array.shape, dtype=np.int64)
        state[parameter] = torch.from_numpy(weights(parameter, tuple(array.shape)))
    network.load_state_dict(state)
    images = torch.from_numpy(drawn("images", 2 * 3 * SIDE * SIDE).reshape(2, 3, SIDE, SIDE))
    with torch.no_grad():
        features, grid = network(images)
    arrays["out.features"] = features.numpy()
    arrays["out.grid"] = np.ascontiguousarray(grid.flatten(2).transpose(1, 2).numpy())
    folder = Path(__file__).parent / "encoders"
    folder.mkdir(exist_ok=True)
    save_file(arrays, folder / f"{name}.safetensors")
    print(name, {key: float(np.abs(array).max()) for key, array in arrays.items() if key.startswith("out.")})


if __name__ == "__main__":
    case("vgg16", Vgg16())
    case("resnet50", ResNet50())
