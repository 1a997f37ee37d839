"""Built-in loaders, installed as `ioprof.loaders`."""

if __name__ != "ioprof.loaders":
    # A second copy of these classes under another name would break pickling and isinstance checks.
    raise ImportError(f"import this package as ioprof.loaders, not {__name__}; install ioprof first (pip install -e .)")
