"""Errors that a user can correct: the exception for them, and clear words for the operating system's refusals."""

from __future__ import annotations

import contextlib
import errno
import io
import locale
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Wrong input, state or option.

    The message is one sentence that names the file, line or utterance, says what was
    expected, and how to correct it. `kdasr.cli` prints it without a traceback and exits 1.
    """


# refusals of the system that a user can do something about, and what
_REMEDIES = {
    errno.EEXIST: "this is a file, expected a directory; remove it or name another place",
    errno.ENOTDIR: "this is a file, expected a directory; remove it or name another place",
    errno.EISDIR: "expected a file; remove it or name another place",
    errno.ENOENT: "check the name",
    errno.EACCES: "change its permissions or name another place",
    errno.EPERM: "change its permissions or name another place",
    errno.EROFS: "name another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOSPC: "free some room and run again",
    errno.EDQUOT: "free some room and run again",
}


def forgiving_output() -> None:
    """Print a character's number where a terminal cannot print the character, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # closed
                stream.reconfigure(errors="backslashreplace")


def speak_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, unless the locale is one of UTF-8.

    Lists name files in UTF-8. In a Latin-1 locale Python would look for other names, and write others into lists. What
    is printed stays in the locale's letters.
    """
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") or os.environ.get("PYTHONUTF8"):
        return
    os.environ.setdefault("PYTHONIOENCODING", f"{locale.getpreferredencoding(False)}:backslashreplace")
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def refusal(error: OSError) -> str | None:
    """One sentence on a file that the operating system refused, with the remedy; None where a user cannot help."""
    remedy = _REMEDIES.get(error.errno) if error.errno is not None else None
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        why = (error.strerror or "refused").lower()
        return f"a file or the output cannot be written ({why}); free some room and run again"
    if remedy is None or error.filename is None:
        return None
    return f"{error.filename}: {(error.strerror or 'refused').lower()}; {remedy}"


def exit_status(work: Callable[[], object], name: str) -> int:
    """Do the work of a command: 0, or another status after one sentence on what the user can correct.

    Args:
        work: the command's, its options read.
        name: of the command, before the sentence.
    """
    try:
        work()
    except UserError as error:
        said, status = str(error), 1
    except KeyboardInterrupt:
        said, status = "interrupted; what was finished stays; run it again to continue", 130
    except BrokenPipeError:
        return 141
    except MemoryError:
        said, status = "out of memory; use smaller batches, or a machine with more memory", 1
    except ModuleNotFoundError as error:
        package = (error.name or "kdasr").partition(".")[0]
        if package == "kdasr":
            raise
        said = f"{package} is not installed, which this needs; run tools/install.sh, or: pip install 'kdasr[recipes]'"
        status = 1
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        said, status = refused, 1
    else:
        return 0
    print(f"{name}: {said}", file=sys.stderr)
    return status


def script_status(work: Callable[[], object], name: str) -> int:
    """As `exit_status`, of a script by itself: its output, too, is set up here."""
    speak_utf8()
    forgiving_output()
    return exit_status(work, name)
