"""SAML 2.0's web browser profile, as the service provider: python3-saml reads and checks, we bind to our own log-in.

Only answers to a log-in that began here are taken. The library leaves one gap: what an answer answers to stands
unsigned in the envelope, too. So the signed assertion itself must name the request, this address and this audience.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request
from onelogin.saml2.constants import OneLogin_Saml2_Constants as names
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from tenants.errors import Invalid
from tenants.sso.assertions import Assertion
from tenants.sso.flows import Refused
from tenants.sso.models import SsoKind, SsoProvider
from tenants.sso.providers import Connection, address

MAX_RESPONSE = 256 << 10  # characters of base64
MAX_METADATA = 1 << 20
CONFIRMATION = "//saml:Assertion/saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData"

# What providers call the same things: plain names, those of ADFS and Entra ID, those of eduPerson.
CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
EMAILS = ("email", "mail", "emailAddress", "urn:oid:0.9.2342.19200300.100.1.3", f"{CLAIMS}emailaddress")
FULL_NAMES = ("displayName", "name", "urn:oid:2.16.840.1.113730.3.1.241", f"{CLAIMS}name")
GIVEN_NAMES = ("firstName", "givenName", "urn:oid:2.5.4.42", f"{CLAIMS}givenname")
FAMILY_NAMES = ("lastName", "sn", "surname", "urn:oid:2.5.4.4", f"{CLAIMS}surname")


def read_metadata(xml: bytes | str) -> Connection:
    """How to reach a provider, from its metadata.

    Raises:
        Invalid: It is none, or names no certificate or no address to log in at; beside the field `metadata`.
    """
    text = xml.decode("utf-8", "replace") if isinstance(xml, bytes) else xml
    try:
        if len(text) > MAX_METADATA:
            raise ValueError(f"more than {MAX_METADATA >> 20} MiB")
        found = OneLogin_Saml2_IdPMetadataParser.parse(text.strip().encode()).get("idp", {})
        known = found.get("x509certMulti", {}).get("signing") or [found["x509cert"]]
        certificates = [OneLogin_Saml2_Utils.format_cert(each) for each in known]
        return Connection(
            SsoKind.SAML,
            issuer=found["entityId"],
            sign_in_url=found["singleSignOnService"]["url"],
            certificates="\n".join(certificates),
        )
    except Exception as error:  # The parser lets pass whatever its XML library raises.
        message = f"This is no metadata of a provider with a certificate and a redirect address: {error}"[:300]
        raise Invalid(message, fields={"metadata": message}) from error


def begin(provider: SsoProvider) -> tuple[str, str]:
    """A new request: its id, which the answer has to name, and the address that the browser takes it to."""
    configured = _settings(provider)
    request = OneLogin_Saml2_Authn_Request(configured)
    asked = {"SAMLRequest": request.get_request()}
    return request.get_id(), OneLogin_Saml2_Utils.redirect(provider.sign_in_url, asked, request_data=_here(provider))


def read_response(provider: SsoProvider, encoded: str) -> tuple[str, Assertion]:
    """Check an answer; gives the id of the request that it answers, and what it says of the person.

    Raises:
        Refused: It is not the provider's, not for us, not of now, or answers nothing.
    """
    if len(encoded) > MAX_RESPONSE:
        raise Refused("The answer of your company's provider is too long.")
    try:
        response = OneLogin_Saml2_Response(_settings(provider), encoded)
        response.is_valid(_here(provider), raise_exceptions=True)
        state = _bound_to(response, provider.organization_id)
        return state, _assertion(provider, response)
    except Refused:
        raise
    except Exception as error:  # The library lets pass whatever its XML libraries raise.
        raise Refused(f"The answer of your company's provider does not stand the check: {error}"[:400]) from error


def metadata(organization_id: UUID) -> bytes:
    """What a provider wants to know of us."""
    configured = OneLogin_Saml2_Settings({"strict": True, "sp": _ourselves(organization_id)}, sp_validation_only=True)
    return configured.get_sp_metadata()


def certificates_of(provider: SsoProvider) -> list[str]:
    """The provider's certificates, one text each."""
    end = "-----END CERTIFICATE-----"
    return [part + end for part in provider.certificates.split(end) if part.strip()]


def _bound_to(response: Any, organization_id: UUID) -> str:
    """The request that the assertion itself names. The envelope around it may be unsigned."""
    acs = address("sso-acs", organization_id)
    data = OneLogin_Saml2_XML.query(response.get_xml_document(), CONFIRMATION)
    named = {each.get("InResponseTo") for each in data if each.get("Recipient") == acs}
    if len(named) != 1 or None in named:
        raise Refused("Your company's provider began this log-in by itself. Begin it here.")
    if address("sso-saml", organization_id) not in response.get_audiences():
        raise Refused("The answer of your company's provider names no audience, or another one.")
    return named.pop()


def _assertion(provider: SsoProvider, response: Any) -> Assertion:
    said = response.get_attributes()
    name_id, form = response.get_nameid() or "", response.get_nameid_format()
    if form == names.NAMEID_TRANSIENT:
        raise Refused("Your company's provider names people anew each time. Its name ID has to be persistent.")
    email = _first(said, EMAILS) or (name_id if "@" in name_id else "")
    full = " ".join(filter(None, (_first(said, GIVEN_NAMES), _first(said, FAMILY_NAMES))))
    # SAML has no word for "verified": an organization's own provider speaks of its own, verified domains only.
    return Assertion(provider.issuer, name_id, email, True, _first(said, FULL_NAMES) or full)


def _first(said: dict[str, list[str]], wanted: tuple[str, ...]) -> str:
    return next((str(said[name][0]) for name in wanted if said.get(name) and said[name][0]), "")


def _settings(provider: SsoProvider) -> OneLogin_Saml2_Settings:
    keys = certificates_of(provider)
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": _ourselves(provider.organization_id),
            "idp": {
                "entityId": provider.issuer,
                "singleSignOnService": {"url": provider.sign_in_url, "binding": names.BINDING_HTTP_REDIRECT},
                "x509cert": keys[0],
                "x509certMulti": {"signing": keys},
            },
            "security": {
                "requestedAuthnContext": False,
                "wantAttributeStatement": False,
                "rejectDeprecatedAlgorithm": True,
                "allowSingleLabelDomains": True,
                "allowRepeatAttributeName": True,
            },
        }
    )


def _ourselves(organization_id: UUID) -> dict[str, Any]:
    acs = {"url": address("sso-acs", organization_id), "binding": names.BINDING_HTTP_POST}
    return {
        "entityId": address("sso-saml", organization_id),
        "assertionConsumerService": acs,
        "NameIDFormat": names.NAMEID_UNSPECIFIED,
    }


def _here(provider: SsoProvider) -> dict[str, Any]:
    """The request as the library wants it: by our public address, whatever the proxy before us says."""
    acs = urlsplit(address("sso-acs", provider.organization_id))
    return {
        "https": "on" if settings.SECURE else "off",
        "http_host": acs.netloc,
        "script_name": acs.path,
        "get_data": {},
        "post_data": {},
    }
