"""Is this process alive, and can it serve? Asked by load balancers, without a session or a tenant."""

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Database and Redis answer too; 503 with the one that does not."""
    away = [name for name, answers in (("database", _database), ("redis", _redis)) if not answers()]
    return JsonResponse({"status": "away" if away else "ok", "away": away}, status=503 if away else 200)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis() -> bool:
    try:
        cache.get("ready")
    except (RedisError, OSError):
        return False
    return True
