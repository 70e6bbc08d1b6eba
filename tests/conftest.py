"""What holds for every test and for the processes that it starts.

One thread: the networks here are so small that a second one makes them slower, and many times so where
several processes share two cores. Set before torch is imported: it reads the variable once.

Signals do what they usually do, also where `nohup` or a shell's `&` lets them be ignored: a process inherits
that, and those here are to be stopped.
"""

import os
import signal

os.environ["OMP_NUM_THREADS"] = "1"
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # for the processes only: the tests go on without terminal
