"""Facts about the machine that the standard library does not tell in one word."""

import os
import sys
from pathlib import Path

__all__ = ["memory"]


def memory() -> tuple[int | None, int | None]:
    """The machine's memory and how much of it can be had now, in bytes; None where the system does not say.

    Inside a container the limit of its control group counts, where that is less.
    """
    if sys.platform == "win32":
        return _windows_memory()
    if Path("/proc/meminfo").is_file():
        return _linux_memory(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))
    try:  # macOS and other kinds of Unix
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (OSError, ValueError):
        return None, None


def _linux_memory(meminfo: Path, cgroup: Path) -> tuple[int | None, int | None]:
    def number(path: Path) -> int | None:
        try:
            return int(path.read_text())
        except (OSError, ValueError):  # not there, or "max"
            return None

    try:
        lines = [line.split() for line in meminfo.read_text().splitlines()]
        kilobytes = {line[0]: int(line[1]) for line in lines if len(line) == 3 and line[2] == "kB"}
        total, free = kilobytes["MemTotal:"] * 1024, kilobytes["MemAvailable:"] * 1024
    except (OSError, ValueError, KeyError):
        return None, None
    limit, used = number(cgroup / "memory.max"), number(cgroup / "memory.current")
    if limit is not None and used is not None and limit < total:
        return limit, min(free, max(0, limit - used))
    return total, free


def _windows_memory() -> tuple[int | None, int | None]:
    import ctypes

    class MemoryStatusEx(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *(
                (name, ctypes.c_uint64)
                for name in ("total", "free", "page", "page_free", "virtual", "virtual_free", "x")
            ),
        )

    status = MemoryStatusEx(length=ctypes.sizeof(MemoryStatusEx))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.free
