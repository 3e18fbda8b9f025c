"""The memory of a process that trains: kept from one update to the next."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
LARGEST, FREE = 1 << 25, 1 << 29  # bytes: the most that may be set for a block, and what stays with us unused


def keep_memory() -> bool:
    """Whether freed memory, up to half a GiB, now stays with the process.

    An update frees its activations, and glibc gives blocks of that size back to the system; the next update gets them
    anew, zeroed page by page, which took up to a seventh of a small network's training. Other C libraries, whose
    allocators are others, are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, FREE))
