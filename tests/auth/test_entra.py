"""Tokens of Entra ID, verified by the real PyJWT with keys from a double of the issuer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from doubles.entra import APP, AUDIENCE, TENANT, USER, EntraIssuer, signing_key
from doubles.server import HANG
from support.certificates import make_authority

from gateway.adapters import entra_keys
from gateway.adapters.entra_keys import EntraSigningKeys
from gateway.auth.authenticator import Authenticator
from gateway.auth.entra import REMEMBERED, TokenVerifier, is_token
from gateway.config.access import ClientLimits, ClientSpec, EntraRule, EntraSpec, Limit
from gateway.config.deployment import Config
from gateway.errors import Forbidden, IdentityUnavailable, Unauthorized

pytestmark = pytest.mark.system

LIMITS = ClientLimits(Limit(rpm=10))
CLIENTS = (ClientSpec("team", limits=LIMITS, models=("gpt-*",)), ClientSpec("users", limits=LIMITS))
RULES = (
    EntraRule("team", app_ids=frozenset({APP})),
    EntraRule(None, roles=frozenset({"Gateway.Admin"}), admin=True),
    EntraRule("users", groups=frozenset({"group-1"}), per_user=True),
)
OTHER_APP = "cccccccc-0000-0000-0000-000000000009"


def spec(*rules, audiences=(AUDIENCE,), pseudonym_key=b"secret"):
    return EntraSpec(TENANT, audiences, rules or RULES, pseudonym_key)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def issuer(tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.file))
    with EntraIssuer(tls.server_context("127.0.0.1")) as running:
        yield running


class Bench:
    """An authenticator whose clock can be moved."""

    def __init__(self, issuer, entra=None, **fields):
        self.now = time.time()
        self.keys = EntraSigningKeys(lambda: self.now, authority=issuer.url)
        self.verifier = TokenVerifier(self.keys)
        self.configure(entra or spec(), **fields)

    def configure(self, entra, clients=CLIENTS, **fields):
        self.authenticator = Authenticator(
            Config(models={}, clients=clients, entra=entra, **fields), self.verifier
        )

    async def enter(self, token):
        return await self.authenticator.authenticate({"authorization": f"Bearer {token}"}, self.now)

    async def refused(self, token):
        try:
            await self.enter(token)
        except Unauthorized as error:
            return error.status, error.code, error.message
        return None


REFUSED = (401, "invalid_api_key", "Incorrect API key provided.")


def run(issuer, test, **options):
    async def work():
        bench = Bench(issuer, **options)
        try:
            return await test(bench)
        finally:
            await bench.keys.close()

    return asyncio.run(work())


@pytest.mark.parametrize("form", ["issue", "issue_v1"])
def test_an_application_is_the_client_that_it_is_mapped_to(issuer, form):
    token = getattr(issuer, form)()
    principal = run(issuer, lambda bench: bench.enter(token))

    assert ("team", LIMITS, False) == (principal.name, principal.limits, principal.admin)
    assert abs(principal.expires - time.time() - 3600) < 60
    assert [True, False] == [principal.may_use("gpt-4o"), principal.may_use("embed")]


def test_a_role_may_make_an_administrator(issuer):
    token = issuer.issue(azp=OTHER_APP, roles=["Chat", "Gateway.Admin"])
    principal = run(issuer, lambda bench: bench.enter(token))
    assert ("admin", True, None) == (principal.name, principal.admin, principal.limits)


def test_each_user_of_a_group_has_limits_for_itself_under_a_pseudonym(issuer):
    async def test(bench):
        return [
            await bench.enter(issuer.issue(azp=OTHER_APP, groups=["GROUP-1"], oid=oid))
            for oid in (USER, "another", USER)
        ]

    one, other, again = run(issuer, test)
    assert one.name == again.name != other.name
    assert "users/" + hmac.new(b"secret", USER.encode(), hashlib.sha256).hexdigest()[:16] == one.name
    assert LIMITS == one.limits


def test_the_first_entry_that_matches_counts(issuer):
    token = issuer.issue(groups=["group-1"], roles=["Gateway.Admin"])
    assert "team" == run(issuer, lambda bench: bench.enter(token)).name


def test_a_valid_token_of_nobody_is_told_so(issuer):
    async def test(bench):
        found = []
        for token in (issuer.issue(azp=OTHER_APP), issuer.issue(azp=OTHER_APP, groups=["group-1"], oid=None)):
            with pytest.raises(Forbidden) as caught:
                await bench.enter(token)
            found.append((caught.value.status, caught.value.message.partition(",")[0]))
        return found

    assert [(403, "The token is valid")] * 2 == run(issuer, test)


NOW = int(time.time())

FORGED = {
    "expired": {"exp": NOW - 3600},
    "just expired": {"exp": NOW - 61},
    "without an end": {"exp": None},
    "early": {"nbf": NOW + 3600},
    "issued later": {"iat": NOW + 3600},
    "for another audience": {"aud": "https://cognitiveservices.azure.com"},
    "for no audience": {"aud": None},
    "of another tenant": {"tid": "99999999-2222-3333-4444-555555555555"},
    "of no tenant": {"tid": None},
    "of another issuer": {"iss": "https://login.microsoftonline.com/common/v2.0"},
    "of another tenant's old issuer": {
        "iss": "https://sts.windows.net/99999999-2222-3333-4444-555555555555/"
    },
    "of no issuer": {"iss": None},
    "with an end that is text": {"exp": "tomorrow"},
    "with an endless end": {"exp": 10**400},
    "with an end beyond all calendars": {"exp": 10**15},
    "with an end that is a number's text": {"exp": str(NOW + 3600)},
    "with an end that is no number": {"exp": [NOW + 3600]},
    "with a truth for an end": {"exp": True},
    "for others": {"aud": ["api://another", "https://cognitiveservices.azure.com"]},
    "for an audience that only begins like ours": {"aud": f"{AUDIENCE}2"},
    "for a part of our audience": {"aud": AUDIENCE[:-1]},
    "for an audience that is no text": {"aud": {AUDIENCE: AUDIENCE}},
    "of two applications": {"azp": APP, "appid": OTHER_APP},
    "of a tenant that is no text": {"tid": [TENANT]},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_token_that_is_not_for_us_or_not_valid_now_is_refused_like_a_wrong_key(issuer, name):
    token = issuer.issue(**FORGED[name])
    assert REFUSED == run(issuer, lambda bench: bench.refused(token))


def parts(header, payload, signature=b""):
    return ".".join(
        urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).decode().rstrip("=")
        for part in (header, payload, signature)
    )


def unsigned(issuer, kid):
    return parts({"alg": "none", "kid": kid, "typ": "JWT"}, issuer.claims())


def by_the_public_key(issuer, kid):
    """HS256 with what everybody knows as the secret."""
    header = {"alg": "HS256", "kid": kid, "typ": "JWT"}
    body = parts(header, issuer.claims()).rpartition(".")[0]
    mac = hmac.new(issuer.public_pem(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def by_another_key(issuer, kid, **headers):
    own = signing_key()
    return jwt.encode(issuer.claims(), own, algorithm="RS256", headers={"kid": kid} | headers)


def with_its_own_key(issuer, kid):
    own = signing_key()
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key(), as_dict=True)
    headers = {"kid": kid, "jwk": jwk, "jku": issuer.url, "x5u": issuer.url}
    return jwt.encode(issuer.claims(), own, algorithm="RS256", headers=headers)


def of_another_strength(issuer, kid):
    return jwt.encode(issuer.claims(), issuer.keys[kid], algorithm="RS512", headers={"kid": kid})


def changed(issuer, kid):
    head, _, signature = issuer.issue().split(".")
    return f"{head}.{parts({}, issuer.claims(roles=['Gateway.Admin'])).split('.')[1]}.{signature}"


def without_a_key(issuer, _kid):
    return jwt.encode(issuer.claims(), next(iter(issuer.keys.values())), algorithm="RS256")


def of_middling_strength(issuer, kid):
    return jwt.encode(issuer.claims(), issuer.keys[kid], algorithm="RS384", headers={"kid": kid})


def with_a_critical_header(issuer, kid):
    """RFC 7515 section 4.1.11: who does not know an extension that is critical refuses the token."""
    return jwt.encode(
        issuer.claims(), issuer.keys[kid], algorithm="RS256", headers={"kid": kid, "crit": ["x"], "x": 1}
    )


def in_another_token(issuer, kid):
    inner = issuer.issue().encode()
    jws = jwt.api_jws.PyJWS()
    return jws.encode(inner, issuer.keys[kid], algorithm="RS256", headers={"kid": kid, "cty": "JWT"})


def of_a_list(issuer, kid):
    claims = json.dumps([issuer.claims()]).encode()
    return jwt.api_jws.PyJWS().encode(claims, issuer.keys[kid], algorithm="RS256", headers={"kid": kid})


def of_several_issuers(issuer, kid):
    claims = json.dumps(issuer.claims(iss=[issuer.issuer])).encode()
    return jwt.api_jws.PyJWS().encode(claims, issuer.keys[kid], algorithm="RS256", headers={"kid": kid})


def detached(issuer, kid):
    head, _, signature = issuer.issue().split(".")
    return f"{parts({'alg': 'RS256', 'kid': kid, 'b64': False}, b'').split('.')[0]}.{head}.{signature}"


def with_a_word_between(issuer, _kid):
    head, body, signature = issuer.issue().split(".")
    return f"{head}.{body}.{signature[:9]}!!{signature[9:]}"


def torn(issuer, _kid):
    return issuer.issue()[:-20] + "é."


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        by_the_public_key,
        by_another_key,
        with_its_own_key,
        of_another_strength,
        of_middling_strength,
        with_a_critical_header,
        in_another_token,
        of_a_list,
        of_several_issuers,
        detached,
        with_a_word_between,
        changed,
        without_a_key,
        torn,
    ],
)
def test_a_forged_token_is_refused_like_a_wrong_key(issuer, forge):
    token = forge(issuer, next(iter(issuer.keys)))

    async def test(bench):
        await bench.enter(issuer.issue())
        return await bench.refused(token)

    assert REFUSED == run(issuer, test)
    assert [] == [asked for asked in issuer.requests if asked.path in {"", "/"}]


@pytest.mark.parametrize(
    "text", ["eyJ..", "eyJhbGciOiJSUzI1NiJ9.e30.", "eyJ" + "A" * 20_000 + ".a.b", "a.b.c"]
)
def test_what_only_looks_like_a_token_is_refused_without_a_fetch(issuer, text):
    assert REFUSED == run(issuer, lambda bench: bench.refused(text))
    assert 0 == issuer.documents


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "key'; --", "k" * 5000, "", None, 1, ["key"], {"kid": 1}],
    ids=["path", "quote", "long", "empty", "null", "number", "list", "mapping"],
)
def test_a_kid_is_looked_up_among_the_tenants_keys_and_nowhere_else(issuer, kid):
    own = signing_key()
    head, body, _ = parts({"alg": "RS256", "typ": "JWT", "kid": kid}, issuer.claims()).split(".")
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        f"{head}.{body}".encode(), own
    )
    token = f"{head}.{body}.{urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert REFUSED == run(issuer, lambda bench: bench.refused(token))
    assert {
        f"/{TENANT}/v2.0/.well-known/openid-configuration",
        f"/{TENANT}/discovery/v2.0/keys",
    } >= {asked.path for asked in issuer.requests}


def test_of_two_claims_of_one_name_the_last_counts_as_everywhere(issuer):
    """Only the issuer can write such a token; what matters is that one reading holds throughout."""
    kid = next(iter(issuer.keys))
    twice = json.dumps(issuer.claims(azp=OTHER_APP))[:-1] + f', "azp": "{APP}"}}'
    token = jwt.api_jws.PyJWS().encode(
        twice.encode(), issuer.keys[kid], algorithm="RS256", headers={"kid": kid}
    )
    assert "team" == run(issuer, lambda bench: bench.enter(token)).name


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE, "api://another"]},
        {"aud": ["api://another", AUDIENCE]},
        {"exp": NOW + 3600.5},
        {"azp": APP, "appid": APP.upper()},
        {"tid": TENANT.upper()},
    ],
    ids=["first of the audiences", "last of the audiences", "fraction", "both names of one", "upper case"],
)
def test_odd_but_lawful_tokens_are_taken(issuer, claims):
    assert "team" == run(issuer, lambda bench: bench.enter(issuer.issue(**claims))).name


def test_keys_of_other_kinds_beside_the_tenants_own_harm_nobody(issuer):
    elliptic = ec.generate_private_key(ec.SECP256R1())
    curve = jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key(), as_dict=True)
    secret = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}
    odd = [None, "key", [], {}, {"kty": "RSA"}, {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}]
    issuer.more_keys = [*odd, secret, curve | {"kid": "curve", "use": "sig"}]

    async def test(bench):
        forged = [
            jwt.encode(issuer.claims(), elliptic, algorithm="ES256", headers={"kid": "curve"}),
            jwt.encode(issuer.claims(), "secret" * 9, algorithm="HS256", headers={"kid": "shared"}),
        ]
        return (await bench.enter(issuer.issue())).name, [await bench.refused(token) for token in forged]

    assert ("team", [REFUSED, REFUSED]) == run(issuer, test)


def test_a_document_of_keys_beyond_all_measure_is_refused_and_the_known_ones_stay(issuer):
    async def test(bench):
        await bench.enter(issuer.issue())
        modulus = "A" * 340
        issuer.more_keys = [
            {"kty": "RSA", "use": "sig", "kid": str(number), "n": modulus, "e": "AQAB"}
            for number in range(10_000)
        ]
        bench.now += entra_keys.RENEW_AFTER + 1
        names = []
        for number in range(2):
            token = issuer.issue(uti=str(number), exp=int(bench.now) + 3600)
            names.append((await bench.enter(token)).name)
            while any(tenant.fetch for tenant in bench.keys._tenants.values()):
                await asyncio.sleep(0.01)
        return names, sum(len(tenant.keys) for tenant in bench.keys._tenants.values())

    assert (["team", "team"], 1) == run(issuer, test)


@pytest.mark.parametrize(
    "document",
    [
        {"jwks_uri": "http://keys.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": []},
        {"issuer": None},
        {"issuer": ["https://sts.windows.net/"]},
    ],
    ids=str,
)
def test_a_document_that_names_no_issuer_or_keys_that_anybody_could_forge_is_not_used(issuer, document):
    issuer.document = document

    async def test(bench):
        with pytest.raises(IdentityUnavailable):
            await bench.enter(issuer.issue())

    run(issuer, test)


def test_tokens_are_of_the_issuer_that_the_document_names(issuer):
    issuer.document = {"issuer": "https://login.example/tenant/v2.0"}

    async def test(bench):
        other = await bench.refused(issuer.issue())
        return other, (await bench.enter(issuer.issue(iss="https://login.example/tenant/v2.0"))).name

    assert (REFUSED, "team") == run(issuer, test)


def test_keys_are_fetched_once_for_many_tokens_at_once(issuer):
    issuer.delay = 0.1
    tokens = [issuer.issue(uti=str(number)) for number in range(50)]

    async def test(bench):
        return {each.name for each in await asyncio.gather(*map(bench.enter, tokens))}

    assert {"team"} == run(issuer, test)
    assert 2 == len(issuer.requests)


def test_a_new_key_is_fetched_when_it_is_first_met(issuer):
    async def test(bench):
        await bench.enter(issuer.issue())
        issuer.rotate()
        bench.now += entra_keys.UNKNOWN_AFTER
        return (await bench.enter(issuer.issue())).name

    assert "team" == run(issuer, test)
    assert 2 == issuer.documents


def test_made_up_keys_cost_one_fetch_in_half_a_minute_and_nobody_else_waits(issuer):
    valid, key = issuer.issue(), signing_key()

    def forged(number):
        return jwt.encode(issuer.claims(), key, algorithm="RS256", headers={"kid": f"made-up-{number}"})

    async def test(bench):
        await bench.enter(valid)
        bench.now += entra_keys.UNKNOWN_AFTER
        issuer.delay = 3600
        flood = asyncio.gather(*(bench.refused(forged(number)) for number in range(100)))
        await asyncio.sleep(0.1)
        # Who has a known key does not wait for the documents that the others ask for.
        await bench.enter(issuer.issue(uti="another"))
        under_way, issuer.delay = not flood.done(), 0
        return set(await flood), under_way, [await bench.refused(forged(n)) for n in range(5)]

    refusals, under_way, later = run(issuer, test)
    assert ({REFUSED}, [REFUSED] * 5, True, 2) == (refusals, later, under_way, issuer.documents)


def test_keys_are_renewed_beside_the_calls_and_a_key_that_is_gone_is_refused(issuer):
    async def test(bench):
        old = issuer.issue()
        await bench.enter(old)
        issuer.rotate()
        bench.now += entra_keys.RENEW_AFTER + 1
        issuer.delay = 3600
        fresh = issuer.issue(kid=next(iter(issuer.keys)), uti="x", exp=int(bench.now) + 3600)
        await bench.enter(fresh)
        issuer.retire()
        beside = [bool(tenant.fetch) for tenant in bench.keys._tenants.values()]
        issuer.delay = 0
        while any(tenant.fetch for tenant in bench.keys._tenants.values()):
            await asyncio.sleep(0.05)
        gone = jwt.encode(issuer.claims(), signing_key(), headers={"kid": "gone"}, algorithm="RS256")
        return beside, await bench.refused(gone)

    assert ([True], REFUSED) == run(issuer, test)
    assert 2 == issuer.documents


@pytest.mark.parametrize("fault", [500, 404, HANG])
def test_an_outage_leaves_known_keys_in_use(issuer, fault, monkeypatch):
    async def test(bench):
        await bench.enter(issuer.issue())
        monkeypatch.setattr(entra_keys, "FETCH_SECONDS", 0.3)
        issuer.down = fault
        bench.now += entra_keys.RENEW_AFTER + 1
        names = []
        for number in range(3):
            token = issuer.issue(uti=str(number), exp=int(bench.now) + 3600)
            names.append((await bench.enter(token)).name)
            await asyncio.sleep(0.4)
        return names

    assert ["team"] * 3 == run(issuer, test)


def test_an_outage_at_the_start_is_no_wrong_key_and_heals_by_itself(issuer):
    token = issuer.issue()

    async def test(bench):
        issuer.down = 503
        for _ in range(3):
            with pytest.raises(IdentityUnavailable) as caught:
                await bench.enter(token)
        outage = len(issuer.requests)
        master = (await bench.enter("sk-master")).name
        issuer.down = None
        bench.now += entra_keys.RETRY_FIRST
        return caught.value.status, caught.value.retry_after, outage, master, (await bench.enter(token)).name

    assert (503, 5.0, 1, "master", "team") == run(issuer, test, master_key="sk-master")


def test_a_new_configuration_holds_for_tokens_that_are_known(issuer):
    token = issuer.issue(roles=["Gateway.Admin"])

    async def test(bench):
        names = [(await bench.enter(token)).name]
        bench.configure(spec(RULES[1]))
        names.append((await bench.enter(token)).name)
        bench.configure(spec(RULES[0]), clients=(ClientSpec("team", models=()),))
        names.append((await bench.enter(token)).may_use("gpt-4o"))
        bench.configure(spec(EntraRule("team", roles=frozenset({"Other"}))))
        with pytest.raises(Forbidden):
            await bench.enter(token)
        bench.configure(spec(audiences=("api://another",)))
        return [*names, await bench.refused(token)]

    assert ["team", "admin", False, REFUSED] == run(issuer, test)


def test_a_token_that_is_known_is_refused_after_its_end(issuer):
    token = issuer.issue(exp=int(time.time()) + 600)

    async def test(bench):
        await bench.enter(token)
        bench.now += 601
        return bench.authenticator._bearers.get(hashlib.sha256(token.encode()).digest()).expires < bench.now

    assert run(issuer, test)


def test_what_is_remembered_of_tokens_is_bounded(issuer):
    async def test(bench):
        await bench.enter(issuer.issue())
        claims = next(iter(bench.verifier._known.values()))
        for number in range(REMEMBERED + 10):
            bench.verifier._known[str(number).encode()] = claims
        await bench.enter(issuer.issue(uti="last"))
        return len(bench.verifier._known)

    assert run(issuer, test) <= REMEMBERED


def test_the_form_of_a_token():
    assert is_token("eyJhbGciOiJSUzI1NiJ9.e30.x")
    assert not any(map(is_token, ["", "eyJ", "sk-key", "eyJ.a", "eyJ.a.b.c", "gwk_eyJ.a.b"]))
