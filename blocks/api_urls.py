"""The API of variables."""

from django.urls import path

from blocks import api

urlpatterns = [
    path("variables", api.Variables.as_view(), name="api-variables"),
    path("variables/<str:name>", api.OneVariable.as_view(), name="api-variable"),
]
