"""Addresses of the error pages; a project includes them where it likes, and names the place in ERRORS["help_url"]."""

from __future__ import annotations

from django.urls import path

from errors import views

app_name = "errors"

urlpatterns = [
    path("", views.index, name="index"),
    path("<path:code>", views.page, name="page"),
]
