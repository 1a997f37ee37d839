"""Built-in workloads, installed as `ioprof.workloads`."""

if __name__ != "ioprof.workloads":
    # A second copy of these classes under another name would break pickling and isinstance checks.
    raise ImportError(
        f"import this package as ioprof.workloads, not {__name__}; install ioprof first (pip install -e .)"
    )
