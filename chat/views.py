"""The pages: sign-in, sign-out, the one on which everything else happens in the browser, and what leads nowhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from chat import api_errors, conf, origins, page_modules
from errors.exceptions import ChatError
from errors.taxonomy import NOT_FOUND


@never_cache
@require_safe
@login_required(login_url="chat:login")
def chat_page(request: HttpRequest, session_id: UUID | None = None) -> HttpResponse:
    """The chat, opened at one session if the address names it; whose it is, the API and the socket check."""
    facts = {
        "page": _page_facts(request, session_id),
        "modules": page_modules.addresses(),
        "chat_title": conf.chat().title,
    }
    return render(request, "chat/page.html", facts)


def _page_facts(request: HttpRequest, session_id: UUID | None) -> dict[str, Any]:
    """What `static/chat/page.js` reads from the page."""
    settings = conf.chat()
    return {
        "api_prefix": settings.path_prefix,
        "page_url": reverse("chat:page"),
        "login_url": reverse("chat:login"),
        "socket_path": f"{settings.path_prefix}/ws",
        "session_id": str(session_id) if session_id else None,
        "user_id": str(request.user.pk),
        "max_content_chars": settings.max_content_chars,
        "has_fault_commands": settings.fault_commands,
        "title": settings.title,
        "suggestions": settings.suggestions,
        # Only where we do not see at once that it may: behind a proxy the browser alone knows the page's origin.
        "allowed_origins": None if origins.is_own(request) else settings.allowed_origins,
        "is_development": django_settings.DEBUG,
    }


class LoginView(auth_views.LoginView):
    template_name = "chat/login.html"
    redirect_authenticated_user = True
    next_page = "chat:page"  # unless a `next` of this site is given

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, chat_title=conf.chat().title)


class LogoutView(auth_views.LogoutView):
    next_page = "chat:login"


@csrf_exempt  # it changes nothing, and a missing token would be answered by another page
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Any other address: a page for who reads it in a browser, the one error shape of the API for everybody else."""
    response: HttpResponse
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        # Without the request: it asks for no session, and works when the database does not.
        facts = {"home_url": reverse("chat:page"), "chat_title": conf.chat().title}
        response = HttpResponse(render_to_string("chat/not_found.html", facts), status=404)
    else:
        response = api_errors.respond(request, ChatError(NOT_FOUND))
    patch_vary_headers(response, ["Accept"])
    return response
