"""What is made of several runs: suites (one after another) and mixed runs (at the same time).

Every run is recorded in a process of its own, so that one cannot disturb the next, and stands in a run directory of
its own, which every report reads.
"""
