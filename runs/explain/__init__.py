"""Why is it not running? For a run that waits, the causes in the order in which they decide, and when it may start.

`runs/claims.py` decides who is handed which run; each condition of its statement has a code in
`orchestrator/causes.py`, and a test finds a condition without one. Nothing here writes, or locks.
"""

from runs.explain.many import first_causes
from runs.explain.one import explain

__all__ = ["explain", "first_causes"]
