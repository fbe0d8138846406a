"""Who am I?"""

from django.urls import path

from tenants.whoami import Me

urlpatterns = [path("me", Me.as_view(), name="api-me")]
