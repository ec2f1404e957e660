"""The token endpoint: three grants in, an opaque session out; and the sessions."""
import base64
import hashlib
import hmac
import json
import secrets

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
KNOBS = {"expires_in", "idle", "revoke", "fail", "certificate", "certificates", "client_id", "rotate"}
FAILURES = {
    "invalid_grant": (400, "user hasn't approved this consumer"),
    "invalid_client_id": (400, "client identifier invalid"),
    "invalid_client": (400, "invalid client credentials"),
    "invalid_app_access": (400, "user is not admin approved to access this app"),
    "inactive_user": (400, "user is inactive"),
    "rate_limit_exceeded": (400, "login rate exceeded"),
    "unknown_error": (400, "retry your request"),
    "server_error": (503, "service unavailable"),
}


class Refused(Exception):
    def __init__(self, error, text, status=400):
        super().__init__(text)
        self.status, self.error, self.text = status, error, text


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class App:
    """A connected app: consumer key and secret, its run-as user, certificates, and who has been approved."""

    def __init__(self, doc):
        self.id = doc["client_id"]
        self.secret = doc.get("secret")
        self.user = doc.get("run_as")
        self.approved = doc.get("approved")
        self.client_credentials = doc.get("client_credentials", True)
        self.refresh = set(doc.get("refresh_tokens", ()))
        self.keys = []
        for pem in [doc.get("certificate"), *doc.get("certificates", ())]:
            if pem:
                self.trust(pem)

    def trust(self, pem):
        self.keys.append(x509.load_pem_x509_certificate(pem.encode()).public_key())


class Session:
    __slots__ = ("user", "used", "end")

    def __init__(self, user, used, end):
        self.user, self.used, self.end = user, used, end


class Identity:
    """`users()` gives the rows of User; `now()` the time."""

    def __init__(self, now, options, users):
        self.now, self.options, self.users = now, options, users
        self.organization = None
        self.apps = {}
        self.sessions = {}
        self.refresh = {}
        self.life = None
        self.idle = 7200
        self.failure = None
        self.rotate = False
        self.issued = 0

    def add_app(self, doc):
        app = App(doc)
        self.apps[app.id] = app
        for token in app.refresh:
            self.refresh[token] = (app.id, app.user)
        return app

    def knobs(self, doc):
        unknown = set(doc) - KNOBS
        if unknown:
            raise ValueError("unknown member %s; allowed: %s" % (sorted(unknown), sorted(KNOBS)))
        if "fail" in doc:
            if doc["fail"] is not None and doc["fail"] not in FAILURES:
                raise ValueError("fail must be null or one of %s" % ", ".join(sorted(FAILURES)))
            self.failure = doc["fail"]
        for pem in [doc.get("certificate"), *doc.get("certificates", ())]:
            if pem:
                self.app_named(doc.get("client_id")).trust(pem)
        self.life = doc.get("expires_in", self.life)
        self.idle = doc.get("idle", self.idle)
        self.rotate = doc.get("rotate", self.rotate)
        if doc.get("revoke"):
            self.sessions.clear()
        return {"expires_in": self.life, "idle": self.idle, "fail": self.failure, "outstanding": len(self.sessions),
                "issued": self.issued}

    def app_named(self, name):
        app = self.apps.get(name or next(iter(self.apps), None))
        if app is None:
            raise ValueError("unknown client_id %s; known: %s" % (name, ", ".join(sorted(self.apps))))
        return app

    # The endpoint

    def answer(self, form, origin, headers):
        """-> (status, document)"""
        try:
            if self.failure is not None:
                status, text = FAILURES[self.failure]
                raise Refused(self.failure, text, status)
            return 200, self.issue(form, origin, headers)
        except Refused as refused:
            return refused.status, {"error": refused.error, "error_description": refused.text}

    def issue(self, form, origin, headers):
        grant = form.get("grant_type")
        if grant == "client_credentials":
            return self.client_credentials(form, origin, headers)
        if grant == BEARER:
            return self.signed(form, origin)
        if grant == "refresh_token":
            return self.refreshed(form, origin)
        raise Refused("unsupported_grant_type", "grant type not supported")

    def client_credentials(self, form, origin, headers):
        if self.options["LoginHost"]:
            raise Refused("invalid_grant", "request not supported on this domain")
        name, secret = form.get("client_id"), form.get("client_secret")
        basic = headers.get("Authorization", "")
        if basic.lower().startswith("basic "):
            try:
                name, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
            except ValueError:
                raise Refused("invalid_client", "invalid client credentials") from None
        app = self.app(name)
        self.check_secret(app, secret)
        if not app.client_credentials or app.user is None:
            raise Refused("invalid_grant", "no client credentials user enabled")
        return self.session(app.user, origin, full=True)

    def app(self, name):
        app = self.apps.get(name)
        if app is None:
            raise Refused("invalid_client_id", "client identifier invalid")
        return app

    @staticmethod
    def check_secret(app, secret):
        if app.secret is None or not secret or not hmac.compare_digest(secret.encode(), app.secret.encode()):
            raise Refused("invalid_client", "invalid client credentials")

    def signed(self, form, origin):
        try:
            head, body, signature = form.get("assertion", "").split(".")
            header, claims = json.loads(unbase64(head)), json.loads(unbase64(body))
            signature = unbase64(signature)
            if not isinstance(header, dict) or not isinstance(claims, dict):
                raise ValueError("no objects")
        except ValueError:
            raise Refused("invalid_grant", "invalid assertion") from None
        app = self.app(claims.get("iss"))
        if header.get("alg") != "RS256" or not self.verified(app, "%s.%s" % (head, body), signature):
            raise Refused("invalid_grant", "invalid assertion")
        audience = str(claims.get("aud", "")).rstrip("/")
        own = (origin,) if self.options["AudienceMyDomain"] else ()
        if audience not in AUDIENCES + own:
            raise Refused("invalid_grant", "audience is invalid")
        end, now = claims.get("exp"), self.now()
        if not isinstance(end, (int, float)) or isinstance(end, bool) or end <= now:
            raise Refused("invalid_grant", "expired authorization code")
        if end > now + self.options["JwtSeconds"]:
            raise Refused("invalid_grant", "invalid assertion")
        user = self.user_named(claims.get("sub"))
        if app.approved is not None and user["Id"] not in app.approved and user["Username"] not in app.approved:
            raise Refused("invalid_grant", "user hasn't approved this consumer")
        return self.session(user["Id"], origin)

    @staticmethod
    def verified(app, text, signature):
        for key in app.keys:
            try:
                key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
                return True
            except InvalidSignature:
                continue
        return False

    def user_named(self, name):
        for row in self.users().values():
            if isinstance(name, str) and row.get("Username", "").lower() == name.lower():
                return row
        raise Refused("invalid_grant", "user hasn't approved this consumer")

    def refreshed(self, form, origin):
        token = form.get("refresh_token", "")
        app = self.app(form.get("client_id"))
        if form.get("client_secret"):
            self.check_secret(app, form["client_secret"])
        found = self.refresh.get(token)
        if found is None or found[0] != app.id:
            raise Refused("invalid_grant", "expired access/refresh token")
        out = self.session(found[1] or app.user, origin, full=True)
        if self.rotate:
            new = "5Aep861" + secrets.token_urlsafe(48)
            self.refresh[new] = self.refresh.pop(token)
            out["refresh_token"] = new
        return out

    def session(self, user, origin, full=False):
        row = self.users().get(user)
        if row is None or not row.get("IsActive"):
            raise Refused("inactive_user", "user is inactive")
        token = "%s!AQ%s" % (self.organization[:15], secrets.token_urlsafe(72).replace("-", ".").replace("~", "_"))
        now = self.now()
        self.sessions[token] = Session(user, now, None if self.life is None else now + self.life)
        self.issued += 1
        out = {"access_token": token, "scope": "api refresh_token" if full else "api",
               "instance_url": self.options["InstanceUrl"] or origin,
               "id": "https://login.salesforce.com/id/%s/%s" % (self.organization, user), "token_type": "Bearer"}
        if full:
            out["issued_at"] = str(int(now * 1000))
            out["signature"] = base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()
        return out

    def revoke(self, token):
        """-> whether there was such a session or refresh token"""
        if self.sessions.pop(token, None) is not None:
            return True
        return self.refresh.pop(token, None) is not None

    def bearer(self, header):
        """The user behind an Authorization header, or None."""
        if not header:
            return None
        kind, _, token = header.partition(" ")
        session = self.sessions.get(token.strip()) if kind.lower() in ("bearer", "oauth") else None
        if session is None:
            return None
        now = self.now()
        if (session.end is not None and session.end <= now) or session.used + self.idle <= now:
            del self.sessions[token.strip()]
            return None
        session.used = now
        return session.user
