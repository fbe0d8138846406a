"""Random numbers of our own, for names and for delays that shall differ.

What people draw from `random` after they have seeded it is what it would be without us: flows stay reproducible, though
our threads draw whenever they like.
"""

from __future__ import annotations

import os
import random

chance = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=chance.seed)
