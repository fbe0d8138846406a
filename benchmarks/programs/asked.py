"""The protocol of a measured process: it does what it is asked, line by line.

Commands and answers are JSON, one a line, on the pipes it was started with; what the product prints goes elsewhere.
"""

import json
import os
import sys


def serve(commands):
    """Answer until there is nobody to ask."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = commands[asked.pop("do")](**asked)
        print(json.dumps(answer), file=answers, flush=True)
