"""The site: the chat under its prefix, the admin beside it."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from chat import conf
from config.admin import furnish

furnish(admin.site)

_PREFIX = conf.chat().path_prefix.lstrip("/")

handler404 = "chat.views.not_found"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chat:page"), name="home"),
    path(f"{_PREFIX}/", include("chat.urls")),
    path("admin/", admin.site.urls),
]
