"""The admin of this deployment: its front page, and Django's accounts in the style of the theme."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from errors import theme


class UserAdmin(auth_admin.UserAdmin, ModelAdmin):
    """Django's; without the theme's forms its fields would have no visible outline."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


class GroupAdmin(auth_admin.GroupAdmin, ModelAdmin):
    pass


def furnish(site: AdminSite) -> None:
    """Give `site` its front page and its account pages. Called once, before its addresses are read."""
    theme.furnish(site)
    site.login_template = "errors/login.html"
    site.index_title = "Overview"
    for model, page in ((User, UserAdmin), (Group, GroupAdmin)):
        site.unregister(model)
        site.register(model, page)
