"""The command line: use a database, look into it, check it, mend it.

    phantomdb shell DIR           SQL, from the keyboard or a pipe
    phantomdb import DIR FILE     a file into a table
    phantomdb export DIR T FILE   a table or the rows of a query into a file

    phantomdb inspect DIR|FILE    the tree by level, or one file in readable form
    phantomdb stats DIR           counters of an opened database
    phantomdb verify DIR          read every byte, check every checksum
    phantomdb repair DIR          salvage what can be, say what is lost
    phantomdb compact DIR         merge everything down
    phantomdb version

Exit status: 0 done, 1 the database said no (one line on stderr, with the error's code), 2 wrong usage.
"""
from __future__ import annotations

import os
import sys

EXIT_FAILED = 1


def main() -> None:
    """Entry point of the `phantomdb` script."""
    # Here, not above: typer and rich take longer to load than everything else of the package.
    from phantomdb.cli.app import app
    from phantomdb.core.errors import PhantomError

    try:
        app()
    except PhantomError as error:
        sys.exit(fail(f"{error} [{error.code}]"))
    except BrokenPipeError:             # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except OSError as error:
        sys.exit(fail(str(error)))


def fail(message: str) -> int:
    """Says what went wrong in one line."""
    print("phantomdb: " + " ".join(message.split()), file=sys.stderr)
    return EXIT_FAILED
