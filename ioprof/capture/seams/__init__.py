"""Taps inside libraries, at their own public seams; put in place when a library is imported, which they never do.

A seam is a function that is given the imported module, replaces what it must, and returns what takes it away again.
`SEAMS` names the module of each. A library of another version that lacks what a seam looks for stays as it is: what it
reads is then seen by the kernel alone.
"""

from ioprof.capture.seams.on_import import follow_imports

__all__ = ["follow_imports"]
