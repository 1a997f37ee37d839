"""A training loop's own loader, watched while it is used: `ioprof.watch(loader)`.

`watching` is what the user holds, `session` the process's recording, `torch_hooks` and `worker` what is done to a torch
DataLoader where it is iterated over and where its batches are made.
"""
