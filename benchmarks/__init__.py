"""Measures this platform, Prefect and Celery side by side, on this machine, in one run: `make bench`.

All run the same code (`programs/`), each with a server and stores of its own, fsync on, one after the other and never
together. Whether a task is recorded is asked of the stores, of all in the same way, so that no API is loaded by the
question. The targets beside the figures are those that this project set itself.

`python -m benchmarks.engine` measures the calls alone, in every way of calling; `make soak` a million of them.

`--postgres URL --redis URL` measures at stores of your own, of whatever version, in place of the embedded ones:

    python -m benchmarks --postgres postgresql://postgres:…@127.0.0.1:5432/postgres --redis redis://127.0.0.1:6379/0

The PostgreSQL must serve nobody else (our logins' passwords are replaced) and have the extension pg_trgm for Prefect.
"""
