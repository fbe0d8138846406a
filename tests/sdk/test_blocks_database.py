"""SqlAlchemyConnector against PostgreSQL."""

from __future__ import annotations

import os
import pickle
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy

from orchestrator.blocks import SqlAlchemyConnector
from orchestrator.exceptions import BlockError


@pytest.fixture
def address(django_db_setup):
    """The address of the tests' PostgreSQL, for SQLAlchemy."""
    from django.db import connection

    url = sqlalchemy.make_url(os.environ["DATABASE_OWNER_URL"])
    url = url.set(drivername="postgresql+psycopg", database=connection.settings_dict["NAME"])
    return url.render_as_string(hide_password=False)


@pytest.fixture
def database(address):
    with SqlAlchemyConnector(connection_info=address, fetch_size=2) as block:
        block.execute("CREATE SCHEMA IF NOT EXISTS blocks_test")
        block.execute("DROP TABLE IF EXISTS blocks_test.thing")
        block.execute("CREATE TABLE blocks_test.thing (id int PRIMARY KEY, name text NOT NULL)")
        rows = [{"id": number, "name": f"thing {number}"} for number in range(5)]
        block.execute_many("INSERT INTO blocks_test.thing VALUES (:id, :name)", rows)
        yield block
        block.reset_cursors()
        block.execute("DROP SCHEMA blocks_test CASCADE")


ALL = "SELECT id, name FROM blocks_test.thing ORDER BY id"


def test_rows_come_one_by_one_in_pieces_and_all(database):
    assert database.fetch_one(ALL) == (0, "thing 0")
    assert database.fetch_many(ALL) == [(1, "thing 1"), (2, "thing 2")]
    assert database.fetch_all(ALL) == [(3, "thing 3"), (4, "thing 4")]
    assert len(database.fetch_all(ALL)) == 5
    assert len(database.fetch_many(ALL, size=4)) == 4
    database.reset_cursors()
    assert database.fetch_one(ALL) == (0, "thing 0")


def test_a_single_row_holds_no_connection(database):
    assert database.fetch_one("SELECT count(*) FROM blocks_test.thing") == (5,)
    assert database.get_engine().pool.checkedout() == 0
    assert database.fetch_one("SELECT count(*) FROM blocks_test.thing") is None
    assert database.fetch_one("SELECT count(*) FROM blocks_test.thing") == (5,)


def test_a_loop_over_pieces_ends(database):
    sizes = []
    while rows := database.fetch_many(ALL, size=2):
        sizes.append(len(rows))
    assert sizes == [2, 2, 1]
    assert len(database.fetch_many(ALL, size=9)) == 5
    ids = []
    while row := database.fetch_one("SELECT id FROM blocks_test.thing WHERE id < :limit ORDER BY id", {"limit": 3}):
        ids.append(row[0])
    assert ids == [0, 1, 2]


def test_parameters_are_bound_and_not_pasted(database):
    hostile = "x'; DROP TABLE blocks_test.thing; --"
    database.execute("INSERT INTO blocks_test.thing VALUES (:id, :name)", {"id": 9, "name": hostile})
    assert database.fetch_all("SELECT name FROM blocks_test.thing WHERE id = :id", {"id": 9}) == [(hostile,)]


def test_many_are_one_transaction(database):
    rows = [{"id": 10, "name": "new"}, {"id": 1, "name": "there already"}]
    with pytest.raises(sqlalchemy.exc.IntegrityError) as refused:
        database.execute_many("INSERT INTO blocks_test.thing VALUES (:id, :name)", rows)
    assert "there already" not in str(refused.value).partition("[SQL")[2]
    assert len(database.fetch_all(ALL)) == 5
    database.execute_many("INSERT INTO blocks_test.thing VALUES (:id, :name)", [])


def test_what_returns_rows_is_committed(database):
    added = "INSERT INTO blocks_test.thing VALUES (7, 'seven') RETURNING id"
    assert database.fetch_all(added) == [(7,)]
    database.close()
    assert database.fetch_all("SELECT name FROM blocks_test.thing WHERE id = 7") == [("seven",)]


def test_what_gives_no_rows_is_told(database):
    with pytest.raises(BlockError, match="execute"):
        database.fetch_all("UPDATE blocks_test.thing SET name = 'x' WHERE id = 1")
    assert database.fetch_all("SELECT name FROM blocks_test.thing WHERE id = 1") == [("thing 1",)]


def test_an_error_leaves_no_connection_open(database):
    with pytest.raises(sqlalchemy.exc.ProgrammingError):
        database.fetch_all("SELECT nothing FROM nowhere")
    with pytest.raises(sqlalchemy.exc.DataError):
        database.fetch_all("SELECT 1 / (id - 1) FROM blocks_test.thing ORDER BY id")
    assert database.get_engine().pool.checkedout() == 0
    database.fetch_all(ALL)
    assert database.get_engine().pool.checkedout() == 0


def test_connections_are_sqlalchemys(database):
    with database.get_connection() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
    assert database.get_engine() is database.get_engine()


def test_threads_share_it(database):
    found = []

    def read(number):
        row = database.fetch_one("SELECT name FROM blocks_test.thing WHERE id = :id", {"id": number})
        found.append(row)

    threads = [threading.Thread(target=read, args=(number % 5,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(found) - {None}) == [(f"thing {number}",) for number in range(5)]


def test_it_can_be_sent_to_other_processes(database):
    database.fetch_one(ALL)
    with pickle.loads(pickle.dumps(database)) as again:
        assert len(again.fetch_all(ALL)) == 5


def test_too_many_open_results_are_refused(database, monkeypatch):
    monkeypatch.setattr("orchestrator.blocks.database.MAX_OPEN", 2)
    for number in range(2):
        database.fetch_one("SELECT generate_series(1, 3) + :n", {"n": number})
    with pytest.raises(BlockError, match="reset_cursors"):
        database.fetch_one("SELECT generate_series(1, 3) + :n", {"n": 2})


def test_an_address_is_taken_apart_and_put_together(address):
    block = SqlAlchemyConnector(connection_info=address)
    parts = urlsplit(address)
    assert (block.driver, block.database) == ("postgresql+psycopg", parts.path.lstrip("/"))
    assert block.get_url().render_as_string(hide_password=False) == sqlalchemy.make_url(address).render_as_string(
        hide_password=False
    )
    assert block.query == {name: values[-1] for name, values in parse_qs(parts.query).items()}
    assert "***" in str(SqlAlchemyConnector(connection_info="postgresql://me:hunter22@x/y").get_url())
    components = {"driver": "sqlite", "database": ":memory:"}
    with SqlAlchemyConnector(connection_info=components) as memory:
        assert memory.fetch_one("SELECT 41 + :one", {"one": 1}) == (42,)


def test_what_is_no_address_is_not_repeated():
    with pytest.raises(ValueError, match="no address") as refused:
        SqlAlchemyConnector(connection_info="hunter22 is no address")
    assert "hunter22" not in str(refused.value)


def test_drivers_that_are_not_there():
    with pytest.raises(BlockError, match="needs a driver"):
        SqlAlchemyConnector(driver="mysql+nothing", host="x").get_connection()
    with pytest.raises(BlockError, match="needs a driver"):
        SqlAlchemyConnector(driver="mysql+pymysql", host="x").get_connection()
    with pytest.raises(ValueError, match="driver"):
        SqlAlchemyConnector(driver="not a driver")
