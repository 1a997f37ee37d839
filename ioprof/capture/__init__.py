"""What a process reads, seen from inside and set beside the kernel's own count; for loaders that are not ioprof's.

    recorder = Recorder(trace_dir, rank=0, worker=3, span_budget=10_000)
    capture = start(recorder, with_children=True)      # before the loader's libraries are imported, where it can be
    for number in batches:
        recorder.begin(Phase.STEADY, epoch=0, batch=number, start_ns=now_ns())
        ...                                            # the user's own code opens, reads and closes
        capture.hand_over()                            # what the taps gathered goes to the recorder
        recorder.end_batch(made_ns)
        capture.note_io()                              # the kernel's count beside the taps'; costs 0.1 ms: now and then
    capture.close()                                    # before the recorder's

`docs/coverage.md` says what is seen and what is not.
"""

from ioprof.capture.capture import Capture, start

__all__ = ["Capture", "start"]
