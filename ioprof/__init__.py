"""ioprof: how long the accelerator starves, which part of the data path starves it, and what would feed it.

Importing this package loads neither torch nor pyarrow; the functions below do when they are called.
"""

from importlib.metadata import version as _version

__version__ = _version("ioprof")
