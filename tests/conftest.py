"""Every test runs on real PostgreSQL and Valkey, as the login `worker` in the role `app`."""

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stack
from tests.web_server import WebServer

SETTINGS = "orchestrator.server.settings"
OF_A_MODULE = ("chaos", "browser", "test_up.py")
LONGEST_FIRST = (*OF_A_MODULE, "rights", "model", "test_planted_secrets.py", "test_eve.py")
STACK_KEY = pytest.StashKey[stack.SessionStack]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests stay until the end: whoever looks for garbage needs not look at them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the stores once per session, before Django reads its settings and xdist its workers' environment."""
    if config.option.help or config.option.version:
        return
    if not hasattr(config, "workerinput"):
        config.stash[STACK_KEY] = stack.SessionStack()
        config.stash[STACK_KEY].start()
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        stack.take_own_databases(os.environ.get("PYTEST_XDIST_WORKER", "main"))
        _load_settings()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins first, and is shared out: xdist hands each worker one stretch of the list at first."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    short = [item for item in items if _rank(item) == len(LONGEST_FIRST)]
    long = sorted((item for item in items if _rank(item) < len(LONGEST_FIRST)), key=_rank)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, (_, together) in enumerate(itertools.groupby(long, key=_together)):
        shares[number % workers].extend(together)
    left, items[:] = len(items), []
    for number, share in enumerate(shares):
        size = left // (workers - number)
        room = max(0, size - len(share))
        items += [*share, *short[:room]]
        left, short = left - size, short[room:]
    items += short


def _rank(item: pytest.Item) -> int:
    return min(LONGEST_FIRST.index(part) if part in LONGEST_FIRST else len(LONGEST_FIRST) for part in item.path.parts)


def _together(item: pytest.Item) -> object:
    """An installation is made once, browsers are started once for a module: by one worker."""
    if "platform" in getattr(item, "fixturenames", ()) and "chaos" in item.path.parts:
        return "platform"
    return item.path if _rank(item) < len(OF_A_MODULE) else item.nodeid


def _load_settings() -> None:
    """Read the settings, which is what pytest-django waits for; later than it would by itself."""
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError(
            "The settings were read before the stack of the tests ran: unset DJANGO_SETTINGS_MODULE."
        )
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    assert settings.DATABASES


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if (running := config.stash.get(STACK_KEY, None)) is not None:
        running.stop()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """This worker's database, made and migrated by the owner. Flushing is the owner's right too."""
    from django.db import connections
    from django.test import TransactionTestCase

    TransactionTestCase._fixture_teardown = lambda self: stack.truncate()
    with django_db_blocker.unblock(), stack.own_database():
        yield
        connections.close_all()


@pytest.fixture(scope="session")
def migrated(django_test_environment: None, django_db_blocker: pytest.FixtureRequest) -> Path:
    """A migrated database as SQL, for stacks that prove something else than their first start."""
    with django_db_blocker.unblock():
        return stack.dump_once()


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_listed_once(django_test_environment: None) -> None:
    """Each of Django's test clients makes its own middleware, in which WhiteNoise looks at every file again."""
    from whitenoise.base import WhiteNoise

    look, listed = WhiteNoise.update_files_dictionary, {}

    def look_once(self: WhiteNoise, root: str, prefix: str) -> None:
        if (root, prefix) not in listed:
            look(self, root, prefix)
            listed[root, prefix] = dict(self.files)
        self.files.update(listed[root, prefix])

    WhiteNoise.update_files_dictionary = look_once


@pytest.fixture(scope="session", autouse=True)
def _answers_are_as_declared(django_test_environment: None) -> None:
    """Whatever a test asks of the API, its answer has a declared status and shape: so the description can't lie."""
    from tenants.api import TenantView
    from tests.declared import check

    finalize = TenantView.finalize_response

    def finalize_and_check(self, request, response, *args, **kwargs):
        final = finalize(self, request, response, *args, **kwargs)
        check(self, request.method, final.render() if hasattr(final, "render") else final)
        return final

    TenantView.finalize_response = finalize_and_check


@pytest.fixture(scope="session")
def _valkey() -> Iterator[object]:
    from redis import Redis

    with Redis.from_url(os.environ["REDIS_URL"], socket_timeout=10) as client:
        yield client


@pytest.fixture
def valkey(_valkey):
    """A client of this worker's Valkey database, empty."""
    _valkey.flushdb()
    return _valkey


@pytest.fixture(autouse=True)
def _empty_valkey(request: pytest.FixtureRequest) -> None:
    """Wake counters and caches of one test are no business of the next; tests without a database use neither."""
    if request.node.get_closest_marker("django_db") or {"db", "transactional_db"} & set(request.fixturenames):
        from runs.messenger import messenger

        assert messenger.flush()
        request.getfixturevalue("_valkey").flushdb()


@pytest.fixture(scope="session")
def _web_server(django_db_setup: None) -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def served(transactional_db: None, _web_server: WebServer) -> str:
    """The address of a web server on this worker's database, which every test finds empty. Sockets work too."""
    return _web_server.serve()


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that the servers' user can reach; pytest's own ones are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator it's a test "))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """What odd tests log must still be UTF-8 when xdist sends it to the controller."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "replace").decode()) for name, text in report.sections]
    return report
