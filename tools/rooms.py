#!/usr/bin/env python3
"""Holds the list of rooms in ARCHITECTURE.md to the folders that there are.

A room is a folder of `core`, `layers`, `datasets` or `models` that has Rust sources below a crate's `src`. Of `core` and
`layers` each stands on the list by itself; of `datasets` and `models` the crate does, for its folders tell their own
story. No line stands twice, and none leads nowhere.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
text = (ROOT / "ARCHITECTURE.md").read_text()
block = text.split("```text\n", 1)[1].split("```", 1)[0]
listed = [re.split(r"\s{2,}", line)[0].rstrip("/") for line in block.splitlines() if line]

expected = set()
for source in ROOT.glob("**/src"):
    crate = source.parent.relative_to(ROOT)
    if crate.parts[:1] not in [("core",), ("layers",), ("datasets",), ("models",)]:
        continue
    if "target" in crate.parts:
        continue
    expected.add(str(source.relative_to(ROOT)))
    if crate.parts[0] in ("core", "layers"):
        for folder in source.glob("**/"):
            if any(folder.glob("*.rs")):
                expected.add(str(folder.relative_to(ROOT)))

faults = [f"{room} stands twice" for room in sorted({r for r in listed if listed.count(r) > 1})]
faults += [f"{room} is not on the list" for room in sorted(expected - set(listed))]
faults += [f"{room} is on the list and not there" for room in listed if not (ROOT / room).exists()]
for fault in faults:
    print(f"ARCHITECTURE.md: {fault}")
print(f"{len(listed)} rooms are listed, {len(faults)} faults")
sys.exit(bool(faults))
