"""The two ways in which tests use the database, and who they are in it."""

import json
import threading
import urllib.request

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone

from tests import stack
from tests.threads import at_once


def who() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user, current_user")
        return cursor.fetchone()


@pytest.mark.django_db
def test_runs_as_worker_in_the_role_app():
    assert who() == ("worker", "app")


@pytest.mark.django_db(transaction=True)
def test_threads_are_the_same_role_with_connections_of_their_own():
    assert at_once(who, who) == [("worker", "app")] * 2


@pytest.mark.django_db
def test_app_may_not_make_tables():
    with pytest.raises(Exception, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE intruder (id int)")


@pytest.mark.django_db
def test_content_types_survive_truncation():
    assert ContentType.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_truncation_ends_a_thread_that_was_left_in_a_transaction():
    began, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Session.objects.create(session_key="held", session_data="", expire_date=timezone.now())
            began.set()
            leave.wait(10)

    holder = threading.Thread(target=lambda: at_once(hold))
    holder.start()
    assert began.wait(10)
    Session.objects.create(session_key="kept", session_data="", expire_date=timezone.now())
    stack.truncate()
    leave.set()
    holder.join(10)
    assert not Session.objects.exists()


def test_a_served_address_shows_this_database(served: str):
    with urllib.request.urlopen(f"{served}/health/ready", timeout=10) as answer:
        assert json.load(answer) == {"status": "ok", "away": []}
