"""Apply journals: the one way in which what a run tells becomes rows.

reading.py    bytes → streams of entries, with what could not be read
streams.py    who may write: locks, tokens, marks, gaps
run_states.py states of flow runs, and runs that their holder made
tall.py       task runs, log lines, events and usage, in sets
artifacts.py  what runs make for people
assets.py     assets, and what was made of what
apply.py      one transaction per batch, and the answer
"""

from runs.ingest.apply import apply_again, apply_batch

__all__ = ["apply_again", "apply_batch"]
