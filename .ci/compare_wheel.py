"""Compares a wheel's modules and page assets with the checkout's: nothing may be missing, nothing else inside.

Each `*.c` of the checkout stands for a compiled module that works with every Python from 3.11 on.

Run: python .ci/compare_wheel.py WHEEL CHECKOUT
"""
# ruff: noqa: T201 - what it prints is its result

import sys
import zipfile
from pathlib import Path

FOLDERS = {"ioprof": "ioprof", "loaders": "ioprof/loaders", "workloads": "ioprof/workloads"}
"""Folder of the checkout and its place in site-packages."""


def main(wheel: str, checkout: str) -> int:
    """Return 0 if the wheel holds exactly the checkout's modules."""
    wanted = {
        f"{place}/{path.relative_to(root)}"
        for folder, place in FOLDERS.items()
        for root in [Path(checkout, folder)]
        for pattern in ("*.py", "*.pyi", "py.typed", "*.css", "*.js")
        for path in root.rglob(pattern)
    }
    root = Path(checkout, "ioprof")
    wanted |= {f"ioprof/{source.relative_to(root).with_suffix('.abi3.so')}" for source in root.rglob("*.c")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    held = {name for name in names if ".dist-info/" not in name}
    for name in sorted(wanted - held):
        print(f"{wheel}: lacks {name}")
    for name in sorted(held - wanted):
        print(f"{wheel}: holds {name}, which is no module of the checkout")
    if not any(name.endswith("LICENSE") for name in names):
        print(f"{wheel}: lacks the licence")
        return 1
    print(f"{wheel}: {len(held)} files")
    return int(held != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
