"""The promise under faults: `python -m tests.chaos` (`make chaos`).

Some hundred uploads go through the embedded cloud while a tenth of everything fails; then the
faults stop, and what became of each upload is read from the buckets, the executions, the
notifications and the API's own books.
"""
