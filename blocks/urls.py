"""Pages of variables."""

from django.urls import path

from blocks import views

urlpatterns = [
    path("variables", views.index, name="variables"),
    path("variables/new", views.edit, name="variable-new"),
    path("variables/<str:name>", views.edit, name="variable"),
    path("variables/<str:name>/remove", views.remove, name="variable-remove"),
]
