"""From a trace to conclusions: small pure passes, each number defined where it is computed."""
