"""Any database that SQLAlchemy has a dialect for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from orchestrator.blocks.block import Block
from orchestrator.blocks.fields import SecretDict
from orchestrator.blocks.needs import needed
from orchestrator.exceptions import BlockError

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 10
MAX_OPEN = 100  # results that are read piece by piece
_PARTS = ("driver", "username", "password", "host", "port", "database", "query")
_CONNECT_TIMEOUT = {  # what drivers call it
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "pysqlite": "timeout",
    "oracledb": "tcp_connect_timeout",
    "pymssql": "login_timeout",
}

Parameters = Mapping[str, Any]


class SqlAlchemyConnector(Block):
    """A database, by SQLAlchemy: PostgreSQL, MySQL, DuckDB, Snowflake, whatever has a dialect.

    In a `with` its connections are closed at the end; `close()` does the same.
    """

    _block_type_slug = "sqlalchemy-connector"
    _block_type_name = "SQLAlchemy Connector"
    _icon = "database"

    driver: str = Field(
        description="Dialect and driver.", pattern=r"^[a-z0-9_]+(\+[a-z0-9_]+)?$", examples=["postgresql+psycopg"]
    )
    host: str | None = None
    port: int | None = Field(None, ge=1, le=65_535)
    database: str | None = Field(None, description="Its name, or the path of its file.")
    username: str | None = None
    password: SecretStr | None = None
    query: dict[str, str] = Field(default_factory=dict, description="What stands behind the ? of its address.")
    connect_args: SecretDict = Field(
        default_factory=lambda: SecretDict({}), description="What the driver is given beyond that."
    )
    fetch_size: int = Field(1_000, ge=1, le=1_000_000, description="Rows of one `fetch_many`.")

    _engine: Any = PrivateAttr(None)
    _open: dict[Any, Any] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=threading.RLock)

    @model_validator(mode="before")
    @classmethod
    def _taken_apart(cls, value: Any) -> Any:
        """An address in `connection_info`, or parts of one, as Prefect's block of this name has it."""
        if not isinstance(value, dict) or "connection_info" not in value:
            return value
        value = dict(value)
        info = value.pop("connection_info")
        return {**_parts_of(info), **value}

    # Rows.

    def fetch_one(self, operation: str, parameters: Parameters | None = None, **options: Any) -> Any:
        """The next row, or None. Asking again goes on where the last one of the same operation ended.

        Args:
            operation: SQL; `:name` stands for a parameter.
            options: Execution options of SQLAlchemy.
        """
        rows = self._next(operation, parameters, 1, options)
        return rows[0] if rows else None

    def fetch_many(
        self, operation: str, parameters: Parameters | None = None, size: int | None = None, **options: Any
    ) -> list[Any]:
        """The next `size` rows. Asking again goes on where the last one of the same operation ended."""
        return self._next(operation, parameters, size or self.fetch_size, options)

    def fetch_all(self, operation: str, parameters: Parameters | None = None, **options: Any) -> list[Any]:
        """All rows that are left."""
        return self._next(operation, parameters, None, options)

    def execute(self, operation: str, parameters: Parameters | None = None, **options: Any) -> None:
        """Execute and commit what gives no rows."""
        with self.get_connection() as connection, connection.begin():
            connection.execute(_text(operation), dict(parameters or {}), execution_options=options)

    def execute_many(self, operation: str, seq_of_parameters: Iterable[Parameters], **options: Any) -> None:
        """Execute it with each of the parameters, in one transaction."""
        rows = [dict(parameters) for parameters in seq_of_parameters]
        if rows:
            with self.get_connection() as connection, connection.begin():
                connection.execute(_text(operation), rows, execution_options=options)

    def _next(
        self, operation: str, parameters: Parameters | None, size: int | None, options: dict[str, Any]
    ) -> list[Any]:
        key = (operation, repr(sorted((parameters or {}).items(), key=lambda item: item[0])))
        with self._lock:
            reading = self._open.pop(key, None)
            if reading is None:
                reading = _Reading(self._begun(operation, parameters, options))
            rows = reading.take(size)
            if size is not None and rows:  # Who reads in a loop is told of the end once.
                self._open[key] = reading
            return rows

    def _begun(self, operation: str, parameters: Parameters | None, options: dict[str, Any]) -> CursorResult[Any]:
        if len(self._open) >= MAX_OPEN:
            raise BlockError(f"{MAX_OPEN} results are open. Read them to their end, or call reset_cursors().")
        connection = self.get_connection()
        try:
            result = connection.execute(_text(operation), dict(parameters or {}), execution_options=options)
            if not result.returns_rows:
                raise BlockError("The operation gives no rows, and was not committed. Use execute() for it.")
        except BaseException:
            connection.close()
            raise
        return result

    def reset_cursors(self) -> None:
        """Forget how far operations were read: each begins anew."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    # Connections.

    def get_connection(self) -> Connection:
        """A connection of SQLAlchemy. Close it, or use it in a `with`."""
        return self.get_engine().connect()

    def get_engine(self) -> Engine:
        """The engine of SQLAlchemy, made once."""
        with self._lock:
            if self._engine is None:
                self._engine = self._new_engine()
            return self._engine

    def get_url(self) -> URL:
        """The address of SQLAlchemy. Its text hides the password."""
        password = None if self.password is None else self.password.get_secret_value()
        url = needed("sqlalchemy.engine").URL
        return url.create(self.driver, self.username, password, self.host, self.port, self.database, dict(self.query))

    def _new_engine(self) -> Engine:
        sqlalchemy = needed("sqlalchemy")
        url = self.get_url()
        try:
            name = url.get_dialect().driver
            timeout = {_CONNECT_TIMEOUT[name]: CONNECT_SECONDS} if name in _CONNECT_TIMEOUT else {}
            arguments = {**timeout, **self.connect_args.get_secret_value()}
            return sqlalchemy.create_engine(url, connect_args=arguments, hide_parameters=True, pool_pre_ping=True)
        except (ModuleNotFoundError, sqlalchemy.exc.NoSuchModuleError) as error:
            raise BlockError(f"{self.driver} needs a driver that is not installed: {error}") from None

    def close(self) -> None:
        """Close all connections. The next call opens one again."""
        with self._lock:
            self.reset_cursors()
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[Any, Any]:
        """Connections stay in their process; tasks elsewhere open their own."""
        state = super().__getstate__()
        private = dict(state["__pydantic_private__"] or {})
        kept = {name: value for name, value in private.items() if name not in ("_engine", "_open", "_lock")}
        return {**state, "__pydantic_private__": {**kept, "_engine": None, "_open": {}, "_lock": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.RLock()


class _Reading:
    """A result that is read piece by piece. Its connection is given back as soon as the last row is here."""

    def __init__(self, result: CursorResult[Any]) -> None:
        self._result: CursorResult[Any] | None = result
        self._ahead: list[Any] = []

    def take(self, size: int | None) -> list[Any]:
        """The next rows; none at the end."""
        if self._result is not None:
            try:
                # One more than asked for tells whether there are more.
                wanted = None if size is None else size + 1 - len(self._ahead)
                found = self._result.fetchall() if wanted is None else self._result.fetchmany(wanted)
            except BaseException:
                self.close()
                raise
            self._ahead += [tuple(row) for row in found]
            if wanted is None or len(found) < wanted:
                self.close()
        rows, self._ahead = self._ahead[:size], self._ahead[size:] if size is not None else []
        return rows

    def close(self) -> None:
        """Give the connection back."""
        result, self._result = self._result, None
        if result is None:
            return
        connection = result.connection
        try:
            if connection.in_transaction() and not connection.invalidated:
                connection.commit()  # Of an INSERT … RETURNING.
        finally:
            connection.close()


def _text(operation: str) -> Any:
    return needed("sqlalchemy").text(operation)


def _parts_of(info: Any) -> dict[str, Any]:
    if isinstance(info, dict):
        return {name: value for name, value in info.items() if name in _PARTS}
    try:
        url = needed("sqlalchemy.engine").make_url(str(info))
    except Exception:
        # The error of SQLAlchemy repeats the address, with its password.
        raise ValueError(
            "connection_info is no address of a database, like postgresql+psycopg://user@host/name."
        ) from None
    query = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    parts = {"driver": url.drivername, "host": url.host, "port": url.port, "database": url.database}
    return {**parts, "username": url.username, "password": url.password, "query": query}
