"""The token endpoint of Entra ID (v1 and v2) and what the APIs ask of an access token. Signing in is in signin.py."""

import base64
import hashlib
import json
import secrets
from uuid import uuid4

from simlib import HttpError, Reply, iso
from .signin import DEVICE_GRANT, SignIn

WEBHOOKS = "https://api.partnercenter.microsoft.com"
REFERRALS = "https://api.partner.microsoft.com"
AUDIENCES = (WEBHOOKS, REFERRALS)
REFRESH_LIFE = 90 * 86400
ROLES = ("referrals-admin", "referrals-user", "admin-agent", "sales-agent", "helpdesk-agent", "billing-admin", "none")
REFERRAL_ROLES = ("referrals-admin", "referrals-user")

GRANT_ERRORS = {
    "invalid_grant": (400, 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed."),
    "interaction_required": (400, 50076, "Due to a configuration change made by your administrator, you must use "
                                         "multi-factor authentication to access the resource."),
    "invalid_client": (401, 7000215, "Invalid client secret provided."),
    "unauthorized_client": (400, 700016, "Application was not found in the directory."),
    "temporarily_unavailable": (503, 90033, "A transient error has occurred. Please try again."),
}


def aad_error(sim, status, error, number, text):
    trace, correlation, stamp = str(uuid4()), str(uuid4()), iso(sim.now())
    stamp = stamp.replace("T", " ")
    description = "AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s" % (number, text, trace, correlation, stamp)
    body = {"error": error, "error_description": description, "error_codes": [number], "timestamp": stamp,
            "trace_id": trace, "correlation_id": correlation,
            "error_uri": "https://login.microsoftonline.com/error?code=%d" % number}
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return HttpError(Reply.json(status, body, headers))


class Claims:
    """What an access token carries, ready for the check of each request."""
    __slots__ = ("audience", "expires", "mfa", "app_only", "role")

    def __init__(self, audience, expires, mfa, app_only, role):
        self.audience = audience
        self.expires = expires
        self.mfa = mfa
        self.app_only = app_only
        self.role = role


class Tokens:
    def __init__(self, sim, tenant, clients, refresh_tokens):
        self.sim = sim
        self.tenant = tenant
        self.clients = dict(clients)
        self.seeded = list(refresh_tokens)
        self.refresh = {}
        self.access = {}
        self.people = {}  # refresh token -> who signed in for it, None = whom the knobs say
        self.latest = None
        self.redeemed = 0
        self.knobs = {"expires_in": 3599, "fail": None, "mfa": True, "role": "referrals-admin",
                      "user": "integration@partner.example"}
        for token in self.seeded:
            self._admit(token)
        sim.tokens_changed = self.configure
        sim.add_route("POST", "/{tenant}/oauth2/token", self.v1, auth=False)
        sim.add_route("POST", "/{tenant}/oauth2/v2.0/token", self.v2, auth=False)
        self.sign_in = SignIn(self)
        sim.add_control("GET", "tokens", lambda req: self.state())

    # Control

    def configure(self, body):
        known = {*self.knobs, "revoke", "refresh_token"}
        unknown = set(body) - known
        if unknown:
            raise ValueError("unknown member %s; allowed: %s" % (", ".join(sorted(unknown)), ", ".join(sorted(known))))
        if body.get("fail") is not None and body["fail"] not in GRANT_ERRORS:
            raise ValueError("fail must be null or one of %s" % ", ".join(sorted(GRANT_ERRORS)))
        if body.get("role", "none") not in ROLES:
            raise ValueError("role must be one of %s" % ", ".join(ROLES))
        self._revoke(body.get("revoke"))
        if "refresh_token" in body:
            self._admit(str(body["refresh_token"]))
        self.knobs.update((name, value) for name, value in body.items() if name in self.knobs)
        return self.state()

    def _revoke(self, what):
        """true: all refresh tokens; "access": all access tokens; "all": both; false: the seeded ones live again."""
        if what in (True, "refresh", "all"):
            self.refresh.clear()
        if what in ("access", "all"):
            self.access.clear()
        if what is False:
            for token in self.seeded:
                self._admit(token)

    def state(self):
        digest = hashlib.sha256(self.latest.encode()).hexdigest() if self.latest else None
        return {**self.knobs, "refresh_tokens": len(self.refresh), "access_tokens": len(self.access),
                "redeemed": self.redeemed, "latest_refresh_token_sha256": digest}

    def _admit(self, token, person=None):
        self.refresh[token] = self.sim.now() + REFRESH_LIFE
        self.people[token] = person
        self.latest = token
        if len(self.refresh) > 20000:
            first = next(iter(self.refresh))
            del self.refresh[first]
            self.people.pop(first, None)

    # Requests

    def v1(self, req):
        form = self._form(req)
        grant, person, scopes = self._grant(form)
        resource = form.get("resource", "").rstrip("/")
        if resource not in AUDIENCES:
            raise self.error(400, "invalid_resource", 500011, "The resource principal named %s was not found in the tenant." % resource)
        claims, token = self._issue(resource, grant, person)
        now = int(self.sim.now())
        life = int(self.knobs["expires_in"])
        body = {"token_type": "Bearer", "scope": "user_impersonation", "expires_in": str(life),
                "ext_expires_in": str(life), "expires_on": str(now + life), "not_before": str(now - 300),
                "resource": resource, "access_token": token}
        if claims.app_only:
            del body["scope"]
        else:
            body["refresh_token"] = self._rotate(form, person)
            if "openid" in scopes:
                user = self._of(person, "user")
                body["id_token"] = self._jwt({"aud": form["client_id"], "tid": self.tenant, "ver": "1.0", "upn": user, "unique_name": user})
        return Reply.json(200, body, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    def v2(self, req):
        form = self._form(req)
        grant, person, scopes = self._grant(form)
        audience = self._audience(scopes, grant)
        claims, token = self._issue(audience, grant, person)
        life = int(self.knobs["expires_in"])
        body = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}
        if not claims.app_only:
            body["scope"] = audience + "/user_impersonation " + audience + "/.default"
            fresh = self._rotate(form, person)
            if "offline_access" in scopes:
                body["refresh_token"] = fresh
            if "openid" in scopes:
                body["id_token"] = self._jwt({"aud": form["client_id"], "tid": self.tenant, "ver": "2.0",
                                              "preferred_username": self._of(person, "user")})
        return Reply.json(200, body, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _of(self, person, name):
        return (person or {}).get(name, self.knobs[name])

    def error(self, status, error, number, text):
        return aad_error(self.sim, status, error, number, text)

    def check_tenant(self, req):
        if req.params["tenant"].lower() not in (self.tenant.lower(), "common", "organizations"):
            raise self.error(400, "invalid_request", 90002, "Tenant '%s' not found." % req.params["tenant"])

    def _form(self, req):
        self.check_tenant(req)
        if "application/x-www-form-urlencoded" not in req.headers.get("Content-Type", ""):
            raise aad_error(self.sim, 400, "invalid_request", 900144,
                            "The request body must contain the following parameter: 'grant_type'.")
        form = req.form()
        basic = req.headers.get("Authorization", "")
        if basic.startswith("Basic ") and "client_secret" not in form:
            try:
                name, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
                form.setdefault("client_id", name)
                form["client_secret"] = secret
            except ValueError:
                pass
        return form

    def _grant(self, form):
        """(grant, who signed in or None, scopes that are asked for)."""
        fail = self.knobs["fail"]
        if fail is not None:
            status, number, text = GRANT_ERRORS[fail]
            raise self.error(status, fail, number, text)
        client = form.get("client_id", "").lower()
        if client not in self.clients:
            raise self.error(400, "unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory." % client)
        self._check_secret(form, client)
        grant, person, scope = form.get("grant_type"), None, form.get("scope", "")
        if grant == "refresh_token":
            person = self._redeem(form)
        elif grant == "authorization_code":
            person = self.sign_in.redeem_code(form)
        elif grant in (DEVICE_GRANT, "device_code"):
            person, asked = self.sign_in.redeem_device(form)
            scope = scope or asked
        elif grant != "client_credentials":
            raise self.error(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'." % grant)
        return grant, person, scope.split()

    def _check_secret(self, form, client):
        wanted = self.sign_in.secret_wanted(form)
        if wanted is False and "client_secret" in form:
            raise self.error(401, "invalid_client", 700025,
                             "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
        if "client_secret" not in form and form.get("grant_type") in (DEVICE_GRANT, "device_code") and wanted:
            raise self.error(401, "invalid_client", 7000218,
                             "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
        if "client_secret" not in form and not wanted:
            return
        if not secrets.compare_digest(form.get("client_secret", "").encode(), self.clients[client].encode()):
            raise self.error(401, "invalid_client", 7000215, "Invalid client secret provided.")

    def _redeem(self, form):
        token, now = form.get("refresh_token", ""), self.sim.now()
        expires = self.refresh.get(token)
        if expires is None:
            raise aad_error(self.sim, 400, "invalid_grant", 50173,
                            "The provided grant has expired due to it being revoked, a fresh auth token is needed.")
        if expires < now:
            raise aad_error(self.sim, 400, "invalid_grant", 700082,
                            "The refresh token has expired due to inactivity.")
        self.refresh[token] = now + REFRESH_LIFE
        return self.people.get(token)

    def _audience(self, scopes, grant):
        for scope in scopes:
            for audience in AUDIENCES:
                if scope == audience + "/.default" or (scope == audience + "/user_impersonation"
                                                       and grant != "client_credentials"):
                    return audience
        if not scopes:
            raise aad_error(self.sim, 400, "invalid_request", 900144,
                            "The request body must contain the following parameter: 'scope'.")
        raise aad_error(self.sim, 400, "invalid_scope", 70011, "The provided value for scope '%s' is not valid."
                        % " ".join(scopes))

    def _rotate(self, form, person):
        """A new refresh token. Entra leaves the old one valid until it expires; the option revokes it at once."""
        fresh = "0.A" + secrets.token_urlsafe(240)
        if self.sim.options["RevokeOldRefreshTokens"]:
            self.refresh.pop(form.get("refresh_token"), None)
        self._admit(fresh, person)
        return fresh

    def _issue(self, audience, grant, person):
        now = self.sim.now()
        app_only = grant == "client_credentials"
        claims = Claims(audience, now + int(self.knobs["expires_in"]), self._of(person, "mfa"), app_only, self._of(person, "role"))
        content = {"aud": audience, "iss": "https://sts.windows.net/%s/" % self.tenant, "iat": int(now),
                   "nbf": int(now) - 300, "exp": int(claims.expires), "tid": self.tenant, "ver": "1.0"}
        if not app_only:
            content.update(amr=["pwd", "mfa"] if claims.mfa else ["pwd"], scp="user_impersonation",
                           upn=self._of(person, "user"))
        token = self._jwt(content)
        self.redeemed += 1
        if len(self.access) >= 1000:
            self.access = {key: value for key, value in self.access.items() if value.expires > now}
        self.access[token] = claims
        return claims, token

    @staticmethod
    def _jwt(content):
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        header = {"typ": "JWT", "alg": "RS256", "kid": "sandbox"}
        return ".".join((part(json.dumps(header).encode()), part(json.dumps({**content, "uti": secrets.token_hex(8)})
                                                                  .encode()), part(secrets.token_bytes(256))))

    # What an API checks

    def check(self, req, audience):
        """(claims, None) or (None, why)."""
        scheme, _, token = req.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None, "missing"
        claims = self.access.get(token.strip())
        if claims is None:
            return None, "invalid"
        if claims.expires <= self.sim.now():
            return None, "expired"
        if claims.audience != audience:
            return None, "audience"
        if not claims.app_only and not claims.mfa:
            return None, "mfa"
        return claims, None
