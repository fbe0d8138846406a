"""Log-in by a company's SAML provider, and answers that were forged, altered, replayed or meant for others."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from orchestrator.ids import uuid7
from tenants.models import SsoProvider, User
from tenants.sso import providers, saml
from tests.cast import Company
from tests.tenants.sso.setup import own_domain, owner_of
from tests.tenants.sso.test_oidc import who

pytestmark = pytest.mark.django_db
ENTITY = "https://idp.acme.example/entity"
TEMPLATE = """<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"
 xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="r-{id}" Version="2.0" IssueInstant="{now}"
 Destination="{acs}" InResponseTo="{envelope}"><saml:Issuer>{issuer}</saml:Issuer>
 <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
{assertion}</samlp:Response>"""
ASSERTION = """<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="a-{id}" Version="2.0"
 IssueInstant="{now}"><saml:Issuer>{issuer}</saml:Issuer><saml:Subject>
 <saml:NameID Format="urn:oasis:names:tc:SAML:{format}">{subject}</saml:NameID>
 <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData
 NotOnOrAfter="{until}" Recipient="{recipient}"{answers}/></saml:SubjectConfirmation></saml:Subject>
 <saml:Conditions NotBefore="{since}" NotOnOrAfter="{until}">{audience}</saml:Conditions>
 <saml:AuthnStatement AuthnInstant="{now}" SessionIndex="s"><saml:AuthnContext><saml:AuthnContextClassRef>
urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
 <saml:AttributeStatement><saml:Attribute Name="email"><saml:AttributeValue>{email}</saml:AttributeValue>
 </saml:Attribute></saml:AttributeStatement></saml:Assertion>"""


@cache
def pair(name: str) -> tuple[str, str]:
    """A key and its certificate, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    certificate = built.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.decode(), certificate.public_bytes(pem).decode()


def metadata() -> str:
    body = "".join(pair("acme")[1].splitlines()[1:-1])
    return f"""<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ENTITY}">
<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing">
<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>{body}</ds:X509Certificate>
</ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService
 Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.acme.example/login"/>
</md:IDPSSODescriptor></md:EntityDescriptor>"""


@pytest.fixture
def saml_door(acme: Company, alice: Any, browse: Any) -> str:
    response = browse(alice).post("/o/acme/sso", {"kind": "saml", "metadata": metadata()})
    assert response.status_code == 302, response.content
    own_domain(acme, "acme.example")
    with acme.scope():
        assert SsoProvider.objects.get().issuer == ENTITY
        providers.switch(enabled=True, required=False, by=owner_of(acme))
    return f"/sso/{acme.organization.id}"


def leave(client: Client, door: str, next: str = "") -> str:
    """Begin a log-in; answers the request's id."""
    response = client.get(f"{door}/login", {"next": next})
    address = urlsplit(response.headers["Location"])
    assert address.netloc == "idp.acme.example"
    request = zlib.decompress(base64.b64decode(parse_qs(address.query)["SAMLRequest"][0]), -15)
    return ElementTree.fromstring(request).attrib["ID"]


def answer(door: str, request: str, *, sign: str = "response", key: str = "acme", **said: Any) -> str:
    """What the provider would send, base64."""
    acs, form = f"http://127.0.0.1:8000{door}/acs", "%Y-%m-%dT%H:%M:%SZ"
    now = datetime.now(UTC)
    at = said.pop("at", now)
    entity = said.pop("entity", f"http://127.0.0.1:8000{door}/metadata")
    parts = {
        "id": uuid7(), "now": at.strftime(form), "since": (at - timedelta(minutes=1)).strftime(form),
        "until": (at + timedelta(minutes=5)).strftime(form), "acs": acs, "recipient": acs, "issuer": ENTITY,
        "subject": "u-1", "format": "2.0:nameid-format:persistent", "email": "nina@acme.example",
        "envelope": request, "answers": f' InResponseTo="{request}"',
        "audience": f"<saml:AudienceRestriction><saml:Audience>{entity}</saml:Audience></saml:AudienceRestriction>",
    } | said  # fmt: skip
    assertion = ASSERTION.format(**parts)
    if sign == "assertion":
        assertion = signed(assertion, key)
    response = TEMPLATE.format(assertion=assertion, **parts)
    return base64.b64encode((signed(response, key) if sign == "response" else response).encode()).decode()


def signed(xml: str, key: str) -> str:
    return OneLogin_Saml2_Utils.add_sign(xml, *pair(key)).decode()


def come(client: Client, door: str, encoded: str) -> Any:
    """As a browser does: a form of another site brings no session, what it is led to does."""
    response = Client().post(f"{door}/acs", {"SAMLResponse": encoded})
    return client.get(response.headers["Location"]) if response.status_code == 302 else response


@pytest.mark.parametrize("sign", ["response", "assertion"])
def test_a_newcomer_logs_in(sign: str, saml_door: str) -> None:
    request = leave(client := Client(), saml_door, next="/o/acme/main/runs")
    response = come(client, saml_door, answer(saml_door, request, sign=sign))
    assert (response.status_code, response.headers["Location"]) == (302, "/o/acme/main/runs")
    assert who(client) == "nina@acme.example"


def refused(response: Any, client: Client) -> None:
    assert response.status_code == 403, response.headers
    assert who(client) == ""
    assert not User.objects.filter(email__startswith="nina").exists()


PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "said",
    [
        {"key": "evil"},
        {"sign": "nothing"},
        {"email": "nina@globex.example"},
        {"issuer": "https://idp.evil.example"},
        {"entity": "https://another.example/metadata"},
        {"audience": ""},
        {"recipient": "https://another.example/acs"},
        {"recipient": "http://127.0.0.1:8000/sso/acs-of-another"},
        {"acs": "https://another.example/acs"},
        {"at": PAST},
        {"answers": ' InResponseTo="another"'},
        {"answers": ""},
        {"answers": "", "sign": "assertion"},
        {"format": "2.0:nameid-format:transient"},
        {"subject": ""},
    ],
)
def test_answers_that_open_nothing(said: dict[str, Any], saml_door: str) -> None:
    request = leave(client := Client(), saml_door)
    refused(come(client, saml_door, answer(saml_door, request, **said)), client)


@pytest.mark.parametrize("sign", ["response", "assertion"])
def test_a_tampered_answer(sign: str, saml_door: str) -> None:
    request = leave(client := Client(), saml_door)
    xml = base64.b64decode(answer(saml_door, request, sign=sign)).replace(b"nina@", b"alice@")
    assert b"alice@" in xml
    refused(come(client, saml_door, base64.b64encode(xml).decode()), client)


def test_a_second_assertion_beside_the_signed_one(saml_door: str) -> None:
    """Signature wrapping: the signature stands for one, the reader takes the other."""
    request = leave(client := Client(), saml_door)
    honest = base64.b64decode(answer(saml_door, request, sign="assertion")).decode()
    forged = base64.b64decode(answer(saml_door, request, sign="nothing", email="alice@acme.example")).decode()
    evil = forged[forged.index("<saml:Assertion") : forged.index("</samlp:Response>")]
    for wrapped in (
        honest.replace("</samlp:Response>", f"{evil}</samlp:Response>"),
        honest.replace("<saml:Assertion", f"{evil}<saml:Assertion", 1),
        honest.replace("</samlp:Status>", f"</samlp:Status><samlp:Extensions>{evil}</samlp:Extensions>"),
    ):
        refused(come(client, saml_door, base64.b64encode(wrapped.encode()).decode()), client)


def test_an_answer_is_good_once_and_in_its_own_browser(saml_door: str) -> None:
    request = leave(client := Client(), saml_door)
    encoded = answer(saml_door, request)
    refused(come(stranger := Client(), saml_door, encoded), stranger)
    leave(thief := Client(), saml_door)
    refused(come(thief, saml_door, encoded), thief)
    assert come(client, saml_door, encoded).status_code == 302
    assert come(client, saml_door, encoded).status_code == 403


def test_a_stolen_assertion_in_an_envelope_of_ones_own(saml_door: str) -> None:
    """The envelope, which nobody signed, names the thief's request; the assertion names its owner's."""
    owners = leave(Client(), saml_door)
    thiefs = leave(thief := Client(), saml_door)
    stolen = answer(saml_door, owners, sign="assertion", envelope=thiefs)
    refused(come(thief, saml_door, stolen), thief)


def test_what_was_put_aside_is_taken_once(saml_door: str) -> None:
    request = leave(client := Client(), saml_door)
    address = Client().post(f"{saml_door}/acs", {"SAMLResponse": answer(saml_door, request)}).headers["Location"]
    refused(Client().get(address), Client())
    assert client.get(address).status_code == 403  # It was taken by the stranger, to no avail.


@pytest.mark.parametrize(
    "encoded", ["", "x", "PHg+", base64.b64encode(b"<x/>").decode(), "A" * (saml.MAX_RESPONSE + 1)]
)
def test_what_is_no_answer(encoded: str, saml_door: str) -> None:
    assert come(Client(), saml_door, encoded).status_code == 403


def test_entities_are_not_read(saml_door: str) -> None:
    xml = b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]><r>&e;</r>'
    response = come(Client(), saml_door, base64.b64encode(xml).decode())
    assert response.status_code == 403
    assert b"root:" not in response.content


def test_our_metadata_are_the_same_for_everybody(acme: Company, saml_door: str) -> None:
    texts = []
    for id in (str(acme.organization.id), str(uuid7())):
        response = Client().get(f"/sso/{id}/metadata")
        assert response.status_code == 200
        root = ElementTree.fromstring(response.content)
        assert root.attrib["entityID"] == f"http://127.0.0.1:8000/sso/{id}/metadata"
        root.attrib.pop("validUntil", None)
        texts.append(ElementTree.tostring(root).decode().replace(id, "…"))
    assert texts[0] == texts[1]
