from __future__ import annotations

from django.urls import include, path

from chat import conf

urlpatterns = [path(f"{conf.chat().path_prefix.lstrip('/')}/", include("chat.urls"))]
