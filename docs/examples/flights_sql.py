"""The same flights as SQL tables: loaded as Arrow, ten questions, each answer computed again from the source in Python.

    airlines <-- flights --> airports <-- weather          planes stand alone: for 721 of the tail numbers there is none
"""
from __future__ import annotations

import datetime
import itertools
import math
import statistics
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import flights_tables as tables
import pyarrow as pa
from pyarrow import csv

import phantomdb

SCHEMA = """
CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (faa text PRIMARY KEY, name text NOT NULL, lat double precision, lon double precision,
    alt integer, tz integer, dst text, tzone text);
CREATE TABLE planes (tailnum text PRIMARY KEY, year integer, type text, manufacturer text, model text,
    engines integer CHECK (engines > 0), seats integer, speed integer, engine text);
CREATE TABLE weather (origin text REFERENCES airports, year integer, month integer, day integer, hour integer,
    temp double precision, dewp double precision, humid double precision, wind_dir integer,
    wind_speed double precision, wind_gust double precision, precip double precision, pressure double precision,
    visib double precision, time_hour timestamptz, PRIMARY KEY (origin, time_hour));
CREATE TABLE flights (year integer, month integer, day integer, dep_time integer, sched_dep_time integer,
    dep_delay integer, arr_time integer, sched_arr_time integer, arr_delay integer,
    carrier text NOT NULL REFERENCES airlines, flight integer, tailnum text, origin text REFERENCES airports,
    dest text NOT NULL, air_time integer, distance integer, hour integer, minute integer, time_hour timestamptz,
    PRIMARY KEY (year, month, day, origin, sched_dep_time, carrier, flight));
CREATE INDEX flights_tailnum ON flights (tailnum, time_hour);
CREATE INDEX flights_dest ON flights (dest);
"""
ORDER = ("airlines", "airports", "planes", "weather", "flights")         # a table after those it points to
Row = tuple[Any, ...]
Source = list[dict[str, Any]]


def arrow_tables() -> dict[str, pa.Table]:
    """Types are Arrow's guesses; NA is NULL."""
    found = {}
    for name in ORDER:
        file = next(table.file for table in tables.TABLES if table.name == name)
        path = tables.folder() / file
        options = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(path.stem) as packed:
                found[name] = csv.read_csv(packed, convert_options=options)
        else:
            found[name] = csv.read_csv(path, convert_options=options)
    return found


def load(db: phantomdb.Database, data: dict[str, pa.Table]) -> tuple[int, float]:
    """(rows, seconds)"""
    began = time.perf_counter()
    db.sql(SCHEMA)
    count = sum(db.load(name, data[name]) for name in ORDER)
    return count, time.perf_counter() - began


# ---------------------------------------------------------------- ten questions

class Question(NamedTuple):
    """What is asked, how, and the same from the source rows of flights (and all tables) in plain Python."""

    text: str
    sql: str
    answer: Callable[[Source, dict[str, pa.Table]], list[Row]]


def _routes(flights: Source, data: dict[str, pa.Table]) -> list[Row]:
    names = dict(zip(data["airports"]["faa"].to_pylist(), data["airports"]["name"].to_pylist(), strict=True))
    counts = Counter((flight["origin"], flight["dest"]) for flight in flights)
    rows = [(origin, names[dest], count) for (origin, dest), count in counts.items() if dest in names]
    return sorted(rows, key=lambda row: (-row[2], row[1]))[:5]


def _quantiles(flights: Source, data: dict[str, pa.Table]) -> list[Row]:
    names = dict(zip(data["airlines"]["carrier"].to_pylist(), data["airlines"]["name"].to_pylist(), strict=True))
    delays = defaultdict(list)
    for flight in flights:
        if flight["dep_delay"] is not None:
            delays[flight["carrier"]].append(flight["dep_delay"])
    rows = [(names[carrier], statistics.median(values), _percentile(values, 0.9)) for carrier, values in delays.items()
            if len(values) > 10_000]
    return sorted(rows, key=lambda row: -row[2])[:5]


def _percentile(values: list[int], share: float) -> float:
    values = sorted(values)
    place = (len(values) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _days(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    delays = defaultdict(list)
    for flight in flights:
        if flight["dep_delay"] is not None:
            delays[flight["month"], flight["day"]].append(flight["dep_delay"])
    means = {day: statistics.fmean(values) for day, values in delays.items()}
    worst = [max(((month, day, mean) for (month, day), mean in means.items() if month == number),
                 key=lambda row: row[2]) for number in range(1, 13)]
    return sorted(worst, key=lambda row: -row[2])[:5]


def _turnarounds(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    days = defaultdict(list)
    for flight in flights:
        if flight["tailnum"] is not None:
            days[flight["tailnum"]].append(datetime.date(flight["year"], flight["month"], flight["day"]))
    gaps = [(plane, (after - before).days) for plane, found in days.items()
            for before, after in itertools.pairwise(sorted(found))]
    return sorted(gaps, key=lambda row: (-row[1], row[0]))[:5]


def _rain(flights: Source, data: dict[str, pa.Table]) -> list[Row]:
    rain = {(row["origin"], row["time_hour"]): row["precip"] for row in data["weather"].to_pylist()}
    delays: dict[str, list[int]] = defaultdict(list)
    for flight in flights:
        precipitation = rain.get((flight["origin"], flight["time_hour"]))
        if precipitation is not None and flight["dep_delay"] is not None:
            delays["dry" if precipitation == 0 else "light rain" if precipitation < 0.1 else "heavy rain"].append(
                flight["dep_delay"])
    return sorted(((name, len(values), statistics.fmean(values)) for name, values in delays.items()),
                  key=lambda row: row[2])


def _totals(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    counts: Counter[tuple[str | None, int | None]] = Counter()
    for flight in flights:
        quarter = (flight["month"] + 2) // 3
        counts.update([(flight["origin"], quarter), (flight["origin"], None), (None, None)])
    rows = [(origin, quarter, count) for (origin, quarter), count in counts.items()]
    return sorted(rows, key=lambda row: (row[0] or "~", row[1] or 9))


def _chain(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    longest = (0, "")
    planes = defaultdict(list)
    for flight in flights:
        if flight["tailnum"] is not None and flight["month"] == 7:
            key = flight["time_hour"], flight["sched_dep_time"], flight["flight"]
            planes[flight["tailnum"]].append((key, (flight["dep_delay"] or 0) > 30))
    for plane, legs in planes.items():
        run = 0
        for _, is_late in sorted(legs):
            run = run + 1 if is_late else 0
            longest = min(longest, (-run, plane))
    return [(longest[1], -longest[0])]


def _unknown(flights: Source, data: dict[str, pa.Table]) -> list[Row]:
    known = set(data["planes"]["tailnum"].to_pylist())
    unknown = [flight for flight in flights if flight["tailnum"] is not None and flight["tailnum"] not in known]
    return [(len({flight["tailnum"] for flight in unknown}), len(unknown))]


def _cancelled(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for flight in flights:
        counts[flight["month"]][0] += flight["dep_time"] is None
        counts[flight["month"]][1] += 1
    rows = [(month, cancelled, 100 * cancelled / count) for month, (cancelled, count) in counts.items()]
    return sorted(rows, key=lambda row: -row[2])[:3]


def _farthest(flights: Source, _data: dict[str, pa.Table]) -> list[Row]:
    best: dict[str, tuple[int, str, int]] = {}
    for flight in flights:
        place = (-flight["distance"], flight["dest"], flight["flight"])
        best[flight["origin"]] = min(best.get(flight["origin"], place), place)
    return [(origin, dest, -distance) for origin, (distance, dest, _) in sorted(best.items())]


QUESTIONS = [
    Question("Which routes are flown most?", """
        SELECT f.origin, a.name, count(*) AS flights FROM flights f JOIN airports a ON a.faa = f.dest
        GROUP BY f.origin, a.name ORDER BY 3 DESC, 2 LIMIT 5""", _routes),
    Question("Which of the large airlines are late most (median and 90th percentile, minutes)?", """
        SELECT name, percentile_cont(0.5) WITHIN GROUP (ORDER BY dep_delay) AS median,
            percentile_cont(0.9) WITHIN GROUP (ORDER BY dep_delay) AS worst_tenth
        FROM flights JOIN airlines USING (carrier) GROUP BY name HAVING count(dep_delay) > 10000
        ORDER BY worst_tenth DESC LIMIT 5""", _quantiles),
    Question("What was the worst day of each month?", """
        SELECT month, day, mean FROM (
            SELECT month, day, avg(dep_delay::double precision) AS mean,
                rank() OVER (PARTITION BY month ORDER BY avg(dep_delay::double precision) DESC) AS place
            FROM flights GROUP BY month, day) AS days
        WHERE place = 1 ORDER BY mean DESC LIMIT 5""", _days),
    Question("Which planes stayed away longest (days between two departures)?", """
        SELECT tailnum, days FROM (
            SELECT tailnum, day - lag(day) OVER (PARTITION BY tailnum ORDER BY day) AS days
            FROM (SELECT tailnum, make_date(year, month, day) AS day FROM flights) AS departures
            WHERE tailnum IS NOT NULL) AS gaps
        WHERE days IS NOT NULL ORDER BY days DESC, tailnum LIMIT 5""", _turnarounds),
    Question("How much does rain delay?", """
        SELECT CASE WHEN precip = 0 THEN 'dry' WHEN precip < 0.1 THEN 'light rain' ELSE 'heavy rain' END AS sky,
            count(*) AS flights, avg(dep_delay::double precision) AS minutes
        FROM flights JOIN weather USING (origin, time_hour) WHERE precip IS NOT NULL AND dep_delay IS NOT NULL
        GROUP BY sky ORDER BY minutes""", _rain),
    Question("How many flights by airport and quarter, with totals?", """
        SELECT origin, (month + 2) / 3 AS quarter, count(*) AS flights FROM flights
        GROUP BY GROUPING SETS ((origin, quarter), (origin), ()) ORDER BY origin NULLS LAST, quarter NULLS LAST
        """, _totals),
    Question("Which plane was more than half an hour late most often in a row, in July?", """
        WITH RECURSIVE legs AS (
            SELECT tailnum, coalesce(dep_delay, 0) > 30 AS is_late,
                row_number() OVER (PARTITION BY tailnum ORDER BY time_hour, sched_dep_time, flight) AS leg
            FROM flights WHERE month = 7 AND tailnum IS NOT NULL),
        runs(tailnum, leg, length) AS (
            SELECT tailnum, leg, 1 FROM legs WHERE is_late
            UNION ALL
            SELECT r.tailnum, l.leg, r.length + 1
            FROM runs r JOIN legs l ON l.tailnum = r.tailnum AND l.leg = r.leg + 1 WHERE l.is_late)
        SELECT tailnum, length FROM runs ORDER BY length DESC, tailnum LIMIT 1""", _chain),
    Question("How many tail numbers are of no known plane, and how often do they fly?", """
        SELECT count(DISTINCT tailnum) AS planes, count(*) AS flights FROM flights f
        WHERE tailnum IS NOT NULL AND NOT EXISTS (SELECT FROM planes p WHERE p.tailnum = f.tailnum)""", _unknown),
    Question("In which months are most flights cancelled?", """
        SELECT month, count(*) FILTER (WHERE dep_time IS NULL) AS cancelled,
            100.0::double precision * count(*) FILTER (WHERE dep_time IS NULL) / count(*) AS percent
        FROM flights GROUP BY month ORDER BY percent DESC LIMIT 3""", _cancelled),
    Question("Where does one get farthest from each airport?", """
        SELECT DISTINCT ON (origin) origin, dest, distance FROM flights
        ORDER BY origin, distance DESC, dest""", _farthest),
]


def is_same(found: list[Row], expected: list[Row]) -> bool:
    """Numbers that were divided are the same up to the last digits."""
    return len(found) == len(expected) and all(
        len(one) == len(other) and all(
            math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) or isinstance(b, float) else a == b
            for a, b in zip(one, other, strict=True))
        for one, other in zip(found, expected, strict=True))


# ---------------------------------------------------------------- a plot

DELAYS_BY_HOUR = """
    SELECT hour, origin, avg(dep_delay::double precision) AS minutes, count(*) AS flights
    FROM flights WHERE dep_delay IS NOT NULL GROUP BY hour, origin HAVING count(*) > 100 ORDER BY hour, origin"""


def plot(data: pa.Table, path: str) -> None:
    """Delays by hour as PNG, from the columns of the Arrow table."""
    import logging

    import matplotlib
    logging.getLogger("matplotlib").setLevel(logging.ERROR)              # it tells when it looks for fonts
    matplotlib.use("Agg")
    import pyarrow.compute as pc
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for origin in pc.unique(data["origin"]).to_pylist():
        part = data.filter(pc.equal(data["origin"], origin))
        axes.plot(part["hour"].to_numpy(), part["minutes"].to_numpy(), marker="o", label=origin)
    axes.set(xlabel="scheduled hour of departure", ylabel="mean delay, minutes", title="Departures from New York, 2013")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
