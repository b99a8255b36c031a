"""Creates the accounts `demo` and `admin` for development; leaves existing ones alone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from chat.demo_accounts import DEMO_ACCOUNTS


class Command(BaseCommand):
    help = "Create the development accounts demo/demo and admin/admin."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo accounts have published passwords: they are for DEBUG only.")
        users = get_user_model()
        for account in DEMO_ACCOUNTS:
            user, is_new = users._default_manager.get_or_create(
                **{users.USERNAME_FIELD: account.name},
                defaults={"is_staff": account.is_staff, "is_superuser": account.is_staff},
            )
            if is_new:
                user.set_password(account.password)
                user.save()
                self.stdout.write(f"Created account {account.name} (password: {account.password}).")
