"""Imported by every interpreter that a profiled program starts, before anything of the program is.

It must never change what the program does: the customisation that this one hides is run first, and where ioprof is not
installed for an interpreter, that is written down for the one who profiles and nothing else happens.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run_the_hidden_one() -> None:
    """Run the ``sitecustomize`` that would have been found without this folder; its errors are the interpreter's."""
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _install() -> None:
    folder = os.environ.get("IOPROF_PROFILE")
    if not folder:
        return
    try:
        from ioprof.profile.hook import install
    except ImportError as error:
        with contextlib.suppress(OSError), open(os.path.join(folder, f"unwatched-{os.getpid()}"), "w") as note:
            note.write(f"{sys.executable}: {error}")
        return
    install(folder)


try:
    _run_the_hidden_one()
finally:
    _install()
