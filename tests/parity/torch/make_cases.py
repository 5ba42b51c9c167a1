"""Writes a case for every network of `graphs/zoo/` to `cases/`, see README.md."""

import torch

import attention  # noqa: F401, each module adds its networks
import long_term  # noqa: F401
import recurrent  # noqa: F401
import text  # noqa: F401
import transformer  # noqa: F401
from common import CASES, NETWORKS, TORCH, write


def main():
    found = torch.__version__.split("+")[0]
    if found != TORCH:
        raise SystemExit(f"expected torch {TORCH}, found {found}: pip install -r requirements.txt")
    # The same bits on any machine with the same instructions.
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    CASES.mkdir(exist_ok=True)
    for stale in CASES.glob("*.safetensors"):
        stale.unlink()
    for name in sorted(NETWORKS):
        print(write(name))


if __name__ == "__main__":
    main()
