"""Gives an environment what a wheel requires, and nothing else, as links to what is installed for this interpreter.

Run: python .ci/link_requirements.py WHEEL SITE_PACKAGES

It stands for ``pip install WHEEL``, which would fetch and unpack torch a second time. A requirement that the wheel
does not name is not linked, so what the wheel does in that environment it does with its own list of requirements;
``pip check`` in it says whether the versions suit.
"""
# ruff: noqa: T201 - what it prints is its result

import email
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main(wheel: str, site_packages: str) -> int:
    """Return 0 once all that the wheel requires is linked into the folder, 1 if something of it is not installed."""
    found: dict[str, Distribution] = {}
    missing = _find(_required_by(wheel), frozenset(), found)
    for line in missing:
        print(f"{wheel}: requires {line}, which is not installed for {sys.executable}")
    if missing:
        return 1
    links = sum(_link(wanted, Path(site_packages)) for wanted in found.values())
    print(f"{site_packages}: {links} links to {len(found)} distributions: {' '.join(sorted(found))}")
    return 0


def _required_by(wheel: str) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    return metadata.get_all("Requires-Dist") or []


def _find(lines: Iterable[str], extras: frozenset[str], found: dict[str, Distribution]) -> list[str]:
    """Fill ``found`` with what the lines need, and what that needs; the lines that nothing installed answers."""
    missing = []
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if not _holds_here(requirement, extras) or (name in found and not requirement.extras):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            missing.append(line)
            continue
        missing += _find(found[name].requires or [], frozenset(requirement.extras), found)
    return missing


def _holds_here(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _link(installed: Distribution, site_packages: Path) -> int:
    """Link its packages as a whole, and all else file by file: distributions may share a folder that is no package.

    Programs of bin/ are left out.
    """
    files = [file for file in installed.files or [] if ".." not in file.parts]
    packages = {file.parts[0] for file in files if file.parts[1:] == ("__init__.py",)}
    links = packages | {str(file) for file in files if file.parts[0] not in packages}
    root = Path(str(installed.locate_file(""))).resolve()
    for name in links:
        link = site_packages / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / name)
    return len(links)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
