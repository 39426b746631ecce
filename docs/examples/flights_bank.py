"""Money moved by several threads under the serializable default: nothing is lost, nothing is made."""
from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any, NamedTuple

import phantomdb

ACCOUNTS, START_CENTS = 16, 100_000
THREADS, TRANSFERS_PER_THREAD = 4, 400
SWITCH_INTERVAL_S = 2e-5                 # Python hands over between threads every 5 ms; here they shall get in each
#                                          other's way all the time


class Outcome(NamedTuple):
    """What the threads did."""

    transfers: int
    attempts: int                        # calls of the function, those that ended in a conflict included
    seconds: float
    audit_sums: tuple[int, ...]          # distinct totals seen by audits that ran beside the transfers
    audits: int
    total: int


def account(number: int) -> bytes:
    return b"accounts/%04d" % number


def total(kv: Any) -> int:
    return sum(int(value) for _, value in kv.scan(start=b"accounts/", stop=b"accounts0"))


def open_accounts(db: phantomdb.Database) -> None:
    db.kv.write([(account(number), b"%d" % START_CENTS) for number in range(ACCOUNTS)])


def move(db: phantomdb.Database) -> Outcome:
    """Transfers from all threads, with an audit beside them."""
    attempts, sums, audits, errors = [0] * THREADS, set(), 0, []
    done = threading.Event()

    def transfer_some(thread: int) -> None:
        chosen = random.Random(thread)
        try:
            for _ in range(TRANSFERS_PER_THREAD):
                source, target = chosen.sample(range(ACCOUNTS), 2)
                cents = chosen.randrange(1, 500)

                def transfer(txn: phantomdb.Transaction, source: int = source, target: int = target,
                             cents: int = cents) -> None:
                    attempts[thread] += 1
                    left = int(txn.kv.get(account(source)) or 0) - cents
                    if left >= 0:
                        txn.kv.put(account(source), b"%d" % left)
                        txn.kv.put(account(target), b"%d" % (int(txn.kv.get(account(target)) or 0) + cents))

                db.run(transfer)
        except Exception as error:       # noqa: BLE001 - told by the main thread
            errors.append(error)

    def audit() -> None:
        nonlocal audits
        while not done.is_set():
            with db.kv.snapshot() as snapshot:
                sums.add(total(snapshot))
            audits += 1
            time.sleep(0.001)

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    auditor = threading.Thread(target=audit)
    workers = [threading.Thread(target=transfer_some, args=(number,)) for number in range(THREADS)]
    began = time.perf_counter()
    for thread in [auditor, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    seconds = time.perf_counter() - began
    done.set()
    auditor.join()
    sys.setswitchinterval(before)
    if errors:
        raise errors[0]
    return Outcome(THREADS * TRANSFERS_PER_THREAD, sum(attempts), seconds, tuple(sums), audits, total(db.kv))


def collide(db: phantomdb.Database) -> bool:
    """Two transactions change one account at the same time: the second to commit is refused and leaves nothing."""
    first, second = db.transaction(), db.transaction()
    for transaction in (first, second):
        transaction.kv.put(account(0), b"%d" % (int(transaction.kv.get(account(0)) or 0) + 1))
    expected = int(db.kv.get(account(0)) or 0) + 1
    first.commit()
    try:
        second.commit()
    except phantomdb.RetryableConflict:
        refused = int(db.kv.get(account(0)) or 0) == expected
    else:
        refused = False
    db.kv.put(account(0), b"%d" % (expected - 1))
    return refused
