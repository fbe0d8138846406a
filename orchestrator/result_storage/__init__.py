"""Where the values of runs are stored.

base.py    what every storage can do
local.py   a directory
spool.py   on the way to those that take whole objects
objects.py   buckets of S3, Google, Azure
addresses.py whatever else fsspec has an address for
blocks.py  blocks of file systems
server.py  the API itself, for what is small
choice.py  which storage is meant: by a path, an address, a block, a setting
"""

from orchestrator.result_storage.base import ResultStorage
from orchestrator.result_storage.choice import is_at_hand, storage_of
from orchestrator.result_storage.local import LocalDirectory

__all__ = ["LocalDirectory", "ResultStorage", "is_at_hand", "storage_of"]
