"""Where tests keep files that nobody needs after them: in memory, where there is enough of it.

Making and dropping hundreds of small files is most of what a database of a test's own costs; a file system in memory
does it in less than half of the time.
"""

import shutil
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


def memory_folder(free_bytes_min: int = 0) -> Path | None:
    """A folder in memory with that many bytes free; None where there is none, and a folder on a disk has to do.

    Programs may not be run out of it.
    """
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free >= free_bytes_min:
        return _SHARED_MEMORY
    return None
