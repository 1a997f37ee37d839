"""The folder that a profiled program's interpreters find first: Python imports its ``sitecustomize`` at start-up."""
