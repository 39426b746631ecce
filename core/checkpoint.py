"""checkpoint: a second database with the state of now, which shares its files with the first.

Tables and value files never change once they are in the tree, so hard links are copies of them: made in no time,
taking no space, and safe from the first database, which may drop its own names whenever it likes. What is in
memtables is flushed first; the copy begins without a log. Across file systems, where links cannot reach, the
files are copied.

CURRENT is the last file the copy gets. After a crash before that, it cannot be opened at all.
"""
from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from phantomdb.core._ext import background as doors
from phantomdb.core._ext.files import CREATE, READ, FileSystem
from phantomdb.core.errors import FileAlreadyExists, StorageError
from phantomdb.core.manifest import Manifest, table_name, values_name, write_format

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore

COPY_BYTES = 1 << 20                 # read and written at a time
# No links to another device; none at all; no more to this file.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


def checkpoint(store: LocalStore, path: str | os.PathLike[str]) -> None:
    """Makes a database at `path`, which must not exist or be an empty folder, with everything that was committed
    before the call. Commits go on meanwhile."""
    files, target = store.file_system, os.path.abspath(os.fspath(path))
    with store.use():
        if files.exists(target) and files.list_dir(target):
            raise FileAlreadyExists("a checkpoint needs a new or empty folder", path=target)
        files.make_dir(target)
        files.sync_dir(os.path.dirname(target))
        try:
            with store.pinned(flushed=True) as tree:
                doors.roll_values(store.engine)                  # later values go to files the copy does not share
                alive = tuple(file for file in tree.value_files if file.garbage_bytes < file.total_bytes)
                for name in [*(table_name(table.number) for table in tree.tables()),
                             *(values_name(file.number) for file in alive)]:
                    store.check_usable()
                    link_or_copy(files, store.path(name), os.path.join(target, name))
            write_format(files, target)
            Manifest.begin(files, target, replace(tree, first_log_segment=0, value_files=alive)).close()
        except BaseException:
            with contextlib.suppress(StorageError):
                for name in files.list_dir(target):              # CURRENT, if it is there, before what it needs
                    files.unlink(os.path.join(target, name))
            raise


def link_or_copy(files: FileSystem, source: str, target: str) -> None:
    """Puts a file that no longer changes under a second name; the folder is not synced."""
    try:
        files.link(source, target)
    except StorageError as error:
        if error.errno not in NO_LINK:
            raise
        copy_file(files, source, target)


def copy_file(files: FileSystem, source: str, target: str) -> None:
    with files.open(source, READ) as old, files.open(target, CREATE) as new:
        offset, size = 0, old.size()
        while offset < size:
            part = old.pread(min(COPY_BYTES, size - offset), offset)
            new.pwrite(part, offset)
            offset += len(part)
        new.sync()
