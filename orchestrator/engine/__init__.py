"""The life of a call: `life.py` tells it once, `drivers.py` performs it in sync and async code and in generators."""
