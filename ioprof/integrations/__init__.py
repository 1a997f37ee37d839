"""Callbacks for trainers that own the training loop: the same recording as `ioprof.watch`, without a loop to edit."""
