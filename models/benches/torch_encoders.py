"""How long PyTorch takes for the networks of encoders.rs: `python models/benches/torch_encoders.py [NAME ..]`.

Channels first, single precision, two threads (or THREADS), evaluation, no gradients; medians of 15 runs after 3 others.
"""

import os
import resource
import sys
import time
from pathlib import Path

import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "tests/parity/torch"))
import encoders  # noqa: E402

encoders.WIDTH, encoders.SIDE = 1, 224


class Fire(nn.Module):
    def __init__(self, channels, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, 2), nn.ReLU(inplace=True), pool(),
            Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool(),
            Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), pool(),
            Fire(512, 64, 256),
        )

    def forward(self, x):
        return self.features(x).mean((2, 3))


NETWORKS = {
    "squeezenet": (SqueezeNet, 227),
    "vgg16": (encoders.Vgg16, 224),
    "resnet50": (encoders.ResNet50, 224),
}

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    for name in sys.argv[1:] or NETWORKS:
        network, side = NETWORKS[name]
        network = network().eval()
        for batch in map(int, os.environ.get("BATCH", "1 16").split()):
            images = torch.rand(batch, 3, side, side) * 2 - 1
            times = []
            with torch.no_grad():
                for _ in range(18):
                    begun = time.perf_counter()
                    network(images)
                    times.append(time.perf_counter() - begun)
            times = sorted(1e3 * t for t in times[3:])
            quartiles = f"quartiles {times[3]:.2f} to {times[10]:.2f}, least {times[0]:.2f}"
            print(f"{name}, batch {batch}: {times[7]:.2f} ms, {quartiles}", flush=True)
    print("most memory, MB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
