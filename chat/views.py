"""Placeholder until the pages land."""
from django.contrib.auth.views import LoginView, LogoutView  # noqa: F401
from django.http import HttpResponse


def chat_page(request, session_id=None):
    return HttpResponse("")
