"""Measures this platform and Prefect side by side, on this machine, in one run: `make bench`.

Both run the same flows (`programs/workloads.py`), each with its own server on PostgreSQL with fsync, one after the
other and never together. Whether a run is recorded is asked of the database, of both in the same way, so that no API
is loaded by the question. The targets beside the figures are those that this project set itself.
"""
