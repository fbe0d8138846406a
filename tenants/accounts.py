"""How allauth behaves here."""

from allauth.account.adapter import DefaultAccountAdapter


class AccountAdapter(DefaultAccountAdapter):
    """People are made by invitation or `manage.py bootstrap`; a sign-up page is not open yet."""

    def is_open_for_signup(self, request) -> bool:
        return False
