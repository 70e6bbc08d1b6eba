"""One thread for every test and for the processes that it starts.

The networks here are so small that a second thread makes them slower, and many times so where several
processes share two cores. Set before torch is imported: it reads the variable once.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
