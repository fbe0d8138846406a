"""Where the values of runs are stored.

base.py    what every storage can do
local.py   a directory
choice.py  which storage is meant: by a path, an address, a block, a setting
"""

from orchestrator.result_storage.base import ResultStorage
from orchestrator.result_storage.choice import is_at_hand, storage_of
from orchestrator.result_storage.local import LocalDirectory

__all__ = ["LocalDirectory", "ResultStorage", "is_at_hand", "storage_of"]
