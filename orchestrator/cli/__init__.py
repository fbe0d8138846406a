"""The command line: `orchestrator`.

Exit codes: 0 all went well; 1 the API or the machine refused; 2 the command was not understood; 3 a watched run ended
otherwise than COMPLETED.
"""

from __future__ import annotations

from orchestrator.cli.root import main

__all__ = ["main"]
