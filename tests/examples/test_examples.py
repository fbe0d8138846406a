"""What the programs in `examples/` come to, and what they tell while they run."""

import asyncio
import json
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from os import utime
from pathlib import Path

import httpx
import pytest

from examples import (
    airports,
    alarm,
    api_client,
    async_fan_out,
    batch_inference,
    delay_report,
    disk_usage,
    freshness,
    incremental_load,
    long_backup,
    nightly,
    polite_client,
    refunds,
    signup,
    sql_models,
    trip,
    validation,
)
from examples.local_services import Readings, Received, serving
from orchestrator.client import Client
from orchestrator.exceptions import ParameterTypeError, RunCancelled
from orchestrator.results import replaying
from orchestrator.testing import recorded, server, time_control
from tests.sdk.pauses import asked, beside


def means(stations: dict[str, list[float]]) -> dict[str, float]:
    return {name: pytest.approx(sum(values) / len(values)) for name, values in stations.items()}


def test_the_api_client_reads_all_pages_of_an_api_with_bad_days():
    """1.6: what may work the next time is tried again."""
    services = Readings(api_client.weather(stations=2, hours=150))
    with serving(services) as address, recorded() as told, time_control() as clock:
        assert api_client.station_means(address) == means(services.stations)
    assert services.refused == sum(run.run_count - 1 for run in told.tasks("readings") + told.tasks("stations"))
    assert len(clock.waits) == services.refused > 0


def test_the_api_client_does_not_ask_again_for_what_is_not_there():
    """1.6: a condition decides."""
    not_there = pytest.raises(httpx.HTTPStatusError, match="404")
    with serving(Readings({}, bad=False)) as address, recorded() as told, not_there:
        api_client.station_means(f"{address}/elsewhere")
    assert [run.run_count for run in told.tasks("stations")] == [1]


def test_the_polite_client_asks_as_often_as_it_may():
    """1.18: the limits are the server's; whoever exceeds them waits."""
    partner = polite_client.Partner()
    with serving(partner) as address, server(), time_control() as clock, Client() as client:
        client.put("/limits/partner-api", {"slots": 5, "rate": 50})
        client.put("/limits/partner-api-open", {"slots": 3})
        assert polite_client.revenue(address, 20) == sum(10 * number for number in range(20))
    assert sorted(partner.asked) == list(range(20))
    assert partner.most <= 3
    assert clock.waits  # More than five at once had to wait for their turn.


def test_coroutines_find_the_hottest_station():
    """1.2: async tasks are gathered as coroutines are."""
    stations = api_client.weather(stations=5, hours=150)
    with serving(Readings(stations)) as address, recorded() as told:
        station, reading = asyncio.run(async_fan_out.hottest(address, at_once=4))
    assert (reading, station) == max((max(values), name) for name, values in stations.items())
    assert len(told.tasks("page_of")) == 15


def test_models_are_built_after_those_that_they_read(tmp_path: Path):
    """1.5: the graph is found while the flow runs."""
    with recorded() as told:
        rows = sql_models.build_all(tmp_path / "taxi.duckdb")
    assert rows == {"trips": 20_000, "zones": 3, "paid_trips": 19_500, "lost": 1, "takings": 21, "best_day": 3}
    runs = {run.label: run for run in told.tasks("build")}
    assert runs["build-takings"].started >= max(runs[f"build-{name}"].ended for name in ("paid_trips", "zones"))


def test_a_circle_of_models_is_told(tmp_path: Path):
    circle = {"hen": "SELECT * FROM {egg}", "egg": "SELECT * FROM {hen}", "field": "SELECT 1 AS x"}
    with pytest.raises(ValueError, match="egg, hen"):
        sql_models.build_all(tmp_path / "farm.duckdb", circle)


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of settings that it then refuses.
def test_the_best_settings_are_found_though_some_are_refused():
    """1.3: a map over a grid."""
    from examples import grid_search  # Here, because scikit-learn takes seconds to import.

    with recorded() as told:
        best = grid_search.best_settings({"C": [0.1, 1.0], "l1_ratio": [0.0, 1.0], "solver": ["liblinear", "lbfgs"]})
    assert best["accuracy"] > 0.96
    assert best["refused"] == 2
    assert len(told.tasks("judge")) == 8
    assert "C=0.1 l1=0.0 lbfgs" in {run.label for run in told.tasks("judge")}


def test_orders_are_checked_one_by_one():
    """1.12: parameters are models, and what comes as text is made what it should be."""
    takings = validation.take_orders(validation.ORDERS, {"first_day": "2026-03-01"})
    assert (takings.orders, takings.total) == (2, Decimal("39.80"))
    assert set(takings.refused) == {2, 4}
    assert "19.90" in takings.refused[2]
    assert takings.refused[4].startswith("items.0.sku")


def test_too_many_bad_orders_fail_the_flow():
    with pytest.raises(ValueError, match="2 of 5 orders"):
        validation.take_orders(validation.ORDERS, validation.Rules(most_refused=0.1))


def test_rules_that_can_not_be_are_refused_before_the_flow_begins():
    with pytest.raises(ParameterTypeError, match="most_refused"):
        validation.take_orders([], {"most_refused": 2, "first_day": date(2026, 3, 1)})


def test_a_tree_is_measured_by_tasks_that_submit_tasks(tmp_path: Path):
    """1.5, 1.10: recursion deeper than the pool has threads."""
    deepest = tmp_path
    for depth in range(6):
        (deepest / "file").write_bytes(b"x" * (depth + 1))
        deepest = deepest / f"level-{depth}"
        deepest.mkdir()
    with recorded() as told:
        usage = disk_usage.disk_usage(tmp_path, largest=2)
    assert (usage.size, usage.files) == (21, 6)
    assert [size for size, _ in usage.largest] == [6, 5]
    assert len(told.tasks("measure")) == 7


def test_a_refresh_ends_in_states_with_names_of_their_own(tmp_path: Path):
    """1.11: states as values."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("news")
    ended = [freshness.refresh(source, target, return_state=True) for _ in range(2)]
    assert [state.name for state in ended] == ["Completed", "Skipped"]
    assert target.read_text() == "NEWS"
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    utime(source, (long_ago, long_ago))
    with recorded() as told:
        state = freshness.refresh(source, target, return_state=True)
    assert (state.name, state.is_failed()) == ("Stale", True)
    assert told.states("refresh")[-1] == "FAILED"


def test_a_webhook_is_told_how_the_day_went():
    """1.8: hooks on flows and tasks."""
    received = Received()
    with serving(received) as address, recorded() as told:
        assert alarm.close_day({"till": 100, "bank": 1}, address) == 101
        alarm.close_day({"till": -300}, address, return_state=True)
    assert [message["text"] for message in received.messages] == ["close_day is well", "close_day Failed"]
    assert "till is overdrawn" in received.messages[1]["why"]
    assert any("Look at this account first" in line.message for line in told.logs())


def test_a_webhook_that_is_away_spoils_nothing():
    with recorded() as told:
        assert alarm.close_day({"till": 100}, "http://127.0.0.1:1") == 100
    assert any("Nobody was told" in line.message for line in told.logs())


def test_rows_are_scored_in_processes_and_a_bad_batch_costs_itself_only():
    """1.10: tasks in child processes are recorded as any others."""
    rows = batch_inference.customers(1_200)
    del rows[700]["spend"]
    with recorded() as told:
        found = batch_inference.score_all(rows)
    assert (found["rows"], found["failed"]) == (750, 1)
    assert 100 < found["positive"] < 400
    assert sorted(run.state for run in told.tasks("score")) == ["COMPLETED"] * 3 + ["FAILED"]
    assert sum("positive" in line.message for line in told.logs()) == 3


@pytest.mark.filterwarnings("ignore")  # The package of the data asks setuptools for its files.
def test_airports_are_compared_by_subflows_of_their_own():
    """1.9: subflows side by side, of which one fails."""
    with recorded() as told:
        found = airports.compare_airports(["EWR", "LGA", "XXX"])
    assert [airport.code for airport in found] == ["LGA", "EWR"]
    assert sum(airport.departures for airport in found) == 17_422
    assert sorted(set(told.states("airport"))) == ["COMPLETED", "FAILED", "RUNNING"]
    assert any("XXX is left out" in line.message for line in told.logs())


@pytest.mark.filterwarnings("ignore")  # As above.
def test_a_report_is_made_of_artifacts():
    """1.21: artifacts of three types."""
    with recorded() as told:
        text = delay_report.delay_report(2)
    made = {entry.key: entry for entry in told.artifacts()}
    assert {key: entry.type for key, entry in made.items()} == {
        "delays-by-airline": "table",
        "delays": "markdown",
        "delays-source": "link",
    }
    assert text.startswith("# Delays in month 2")
    assert b"ExpressJet" in bytes(made["delays-by-airline"].data)


def test_a_backup_tells_how_far_it_is(tmp_path: Path):
    """1.21: a progress artifact, of which the last word is the whole."""
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(5):
        (source / f"part-{number}").mkdir(parents=True)
        (source / f"part-{number}" / "file").write_bytes(b"x" * 100)
    with recorded() as told:
        assert long_backup.back_up(source, target) == 500
    assert len(list(target.rglob("file"))) == 5
    (bar,) = told.artifacts()
    assert b"100" in bytes(bar.data)


def test_a_backup_that_is_cancelled_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """1.8: the hook of a cancel."""

    def cancelled(*_):
        raise RunCancelled

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x")
    monkeypatch.setattr(long_backup.shutil, "copy2", cancelled)
    with recorded() as told, pytest.raises(RunCancelled):
        long_backup.back_up(tmp_path / "source", tmp_path / "target")
    assert told.states("back_up")[-1] == "CANCELLED"
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_the_night_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    """1.16: files that were read are not read again, unless they have changed."""
    for number in range(4):
        (tmp_path / f"{number}.csv").write_text(f"a,{number}\nb,1.5\n")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    (tmp_path / "2.csv").write_text("cut,")
    with recorded() as first, pytest.raises(ValueError, match="could not convert"):
        nightly.nightly(tmp_path)
    (tmp_path / "2.csv").write_text("a,2\nb,1.5\n")
    utime(tmp_path / "0.csv", (1, 1))
    [failed] = {entry.run for entry in first.run_states()}
    with recorded() as second, replaying(failed):
        written = nightly.nightly(tmp_path)
    assert written.read_text() == "0.csv 1.50\n1.csv 2.50\n2.csv 3.50\n3.csv 4.50\n"
    assert [run.name for run in second.tasks("sum_of")] == [None, "Replayed", None, None]


def test_a_trip_is_booked_whole_or_not_at_all(tmp_path, capsys):
    """1.15: a saga."""
    desk = tmp_path / "bookings.json"
    with recorded() as told:
        assert trip.trip(desk, cars=0, return_state=True).is_failed()
    assert trip.bookings(desk) == []
    assert [run.name for run in told.tasks("book")] == ["RolledBack", "RolledBack", None]
    assert trip.trip(desk) == trip.bookings(desk) == ["flight", "room", "car"]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("cancelled", "confirmed"))]
    assert said == ["cancelled: room", "cancelled: flight", "confirmed: flight", "confirmed: room", "confirmed: car"]


def test_a_load_reads_what_is_new(tmp_path, monkeypatch):
    """1.13: cached by content, today for ten minutes."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    days = [tmp_path / f"2026-11-0{number}.csv" for number in range(1, 5)]
    for file in days:
        file.write_text("rent,-1.10\nrent,-1\n")

    def read():
        with recorded() as told:
            assert set(incremental_load.load(tmp_path)) == {"rent"}
        return sum(run.name != "Cached" for run in told.tasks())

    with time_control() as clock:
        assert (read(), read()) == (4, 0)
        days[1].write_text("rent,5\n")
        assert incremental_load.load(tmp_path) == {"rent": Decimal("-1.30")}
        clock.advance(601)
        assert read() == 1


def test_a_web_application_answers_at_once_and_shows_later_what_was_prepared():
    """1.19: who clicks twice is welcomed once; any request sees what has become of it."""
    with server() as here, signup.application(0) as application:
        threading.Thread(target=application.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{application.server_port}"
        first, again = (httpx.post(f"{address}/signup?name=Ada").json()["welcome"] for _ in range(2))
        assert first == again
        assert httpx.get(address + first).json() == {"state": "Scheduled", "text": None}
        here.work()
        shown = httpx.get(address + first).json()
        assert (shown["state"], shown["text"][:13]) == ("Completed", "Welcome, Ada!")
        assert httpx.get(f"{address}/welcome/nobody").status_code == 404
        assert httpx.post(f"{address}/signup").status_code == 400
        application.shutdown()
    (run,) = here.runs("prepare_welcome")
    assert (run.name, run.tags) == ("welcome-Ada", ["signup"])


def test_a_refund_waits_for_who_approves_it_and_for_the_customer(tmp_path):
    """1.17: an approval with a quorum, a form that anyone with the link answers, what is wrong is asked for again."""
    ledger = tmp_path / "refunds.jsonl"
    with server() as here, beside(lambda: refunds.refund("4711", Decimal(800), ledger)) as came:
        assert asked(here).quorum == 2
        (run,) = here.runs("refund")
        here.answer(run, "approve", by="ada@acme.example")
        here.answer(run, "approve", {"amount": "650"}, by="bob@acme.example")
        assert asked(here, "pause-1").link == "anyone"
        here.answer(run, value={"iban": "DE98 3704 0044 0532 0130 00"}, key="pause-1")
        assert "changed places" in asked(here, "pause-1~2").description
        here.answer(run, value={"iban": "DE89 3704 0044 0532 0130 00"}, key="pause-1~2")
    assert came == ["650 paid back"]
    assert json.loads(ledger.read_text()) == {
        "order": "4711",
        "amount": "650",
        "iban": "DE89370400440532013000",
        "approved_by": ["ada@acme.example", "bob@acme.example"],
    }


def test_a_refund_that_somebody_rejects_is_not_paid(tmp_path):
    """1.17."""
    ledger = tmp_path / "refunds.jsonl"
    with server() as here, beside(lambda: refunds.refund("4711", Decimal(80), ledger)) as came:
        assert asked(here).quorum == 1
        here.answer(here.runs("refund")[0], "reject", by="ada@acme.example", comment="paid already")
    assert came == ["ada@acme.example rejected Refund order 4711?: paid already"]
    assert not ledger.exists()
