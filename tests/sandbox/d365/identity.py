"""The token endpoint of the directory: client secret or signed assertion in, opaque bearer token out."""
import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KNOBS = {"expires_in", "revoke", "fail", "mfa", "certificate", "certificates", "client_id"}
FAILURES = {
    "invalid_grant": (400, 50173, "The provided grant has expired due to it being revoked."),
    "invalid_client": (401, 7000215, "Invalid client secret provided."),
    "expired_secret": (401, 7000222, "The provided client secret keys are expired."),
    "unauthorized_client": (400, 700016, "Application was not found in the directory."),
    "invalid_scope": (400, 70011, "The provided value for the input parameter 'scope' is not valid."),
    "temporarily_unavailable": (503, 90033, "A transient error has occurred. Please try again."),
    "interaction_required": (400, 50076, "You must use multi-factor authentication to access the resource."),
}


class Refused(Exception):
    def __init__(self, status, error, code, text):
        super().__init__(text)
        self.status, self.error, self.code, self.text = status, error, code, text


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprints(cert):
    """(header member, value) pairs that may name the certificate."""
    der = cert.public_bytes(serialization.Encoding.DER)
    return {(name, base64.urlsafe_b64encode(d).rstrip(b"=").decode())
            for name, d in (("x5t", hashlib.sha1(der).digest()), ("x5t#S256", hashlib.sha256(der).digest()))}


class App:
    def __init__(self, doc):
        self.id = doc["client_id"].lower()
        self.secrets = [s for s in (doc.get("secret"), *doc.get("secrets", ())) if s]
        self.expired = list(doc.get("expired_secrets", ()))
        self.certificates = {}
        for pem in [doc.get("certificate"), *doc.get("certificates", ())]:
            if pem:
                self.trust(pem)

    def trust(self, pem):
        cert = x509.load_pem_x509_certificate(pem.encode())
        for thumb in thumbprints(cert):
            self.certificates[thumb] = cert


class Identity:
    def __init__(self, clock):
        self.clock = clock
        self.tenants = {"00000000-0000-4000-8000-00000000a000", "contoso.onmicrosoft.com"}
        self.apps = {}
        self.resources = set()
        self.tokens = {}
        self.expires_in = 3599
        self.failure = None
        self.mfa = False

    def configure(self, doc):
        self.tenants.update(t.lower() for t in doc.get("tenants", ()))
        self.resources.update(r.rstrip("/") for r in doc.get("resources", ()))
        for app in doc.get("apps", ()):
            self.add_app(app)

    def add_app(self, doc):
        app = App(doc)
        self.apps[app.id] = app
        return app

    def knobs(self, doc):
        unknown = set(doc) - KNOBS
        if unknown:
            raise ValueError("unknown member %s; allowed: %s" % (sorted(unknown), sorted(KNOBS)))
        if "fail" in doc:
            if doc["fail"] is not None and doc["fail"] not in FAILURES:
                raise ValueError("fail must be null or one of %s" % ", ".join(sorted(FAILURES)))
            self.failure = doc["fail"]
        self.trust(doc)
        self.expires_in = doc.get("expires_in", self.expires_in)
        self.mfa = doc.get("mfa", self.mfa)
        if doc.get("revoke"):
            self.tokens.clear()
        return {"expires_in": self.expires_in, "fail": self.failure, "mfa": self.mfa,
                "outstanding": len(self.tokens)}

    def trust(self, doc):
        """Registers certificates with the application named, by default the first."""
        pems = [p for p in (doc.get("certificate"), *doc.get("certificates", ())) if p]
        if not pems:
            return
        app = self.apps.get(str(doc.get("client_id") or next(iter(self.apps), "")).lower())
        if app is None:
            raise ValueError("unknown client_id %s; known: %s" % (doc.get("client_id"), ", ".join(sorted(self.apps))))
        for pem in pems:
            app.trust(pem)

    # The endpoint

    def answer(self, tenant, form, origin, content_type):
        """-> (status, JSON document)"""
        try:
            return 200, self.issue(tenant.lower(), form, origin, content_type)
        except Refused as e:
            trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
            stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.clock()))
            return e.status, {
                "error": e.error,
                "error_description": "AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s"
                                     % (e.code, e.text, trace, correlation, stamp),
                "error_codes": [e.code], "timestamp": stamp, "trace_id": trace,
                "correlation_id": correlation, "error_uri": "%s/error?code=%d" % (origin, e.code)}

    def issue(self, tenant, form, origin, content_type):
        if self.failure:
            status, code, text = FAILURES[self.failure]
            error = "invalid_client" if self.failure == "expired_secret" else self.failure
            raise Refused(status, error, code, text)
        if self.mfa:
            raise Refused(400, "interaction_required", 50076, FAILURES["interaction_required"][2])
        if tenant not in self.tenants:
            raise Refused(400, "invalid_request", 90002, "Tenant '%s' not found." % tenant)
        if "application/x-www-form-urlencoded" not in content_type:
            raise Refused(400, "invalid_request", 900561, "The endpoint only accepts form-encoded requests.")
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                raise Refused(400, "invalid_request", 900144,
                              "The request body must contain the following parameter: '%s'." % name)
        if form["grant_type"] != "client_credentials":
            raise Refused(400, "unsupported_grant_type", 70003,
                          "The app requested an unsupported grant type '%s'." % form["grant_type"])
        app = self.apps.get(form["client_id"].lower())
        if app is None:
            raise Refused(400, "unauthorized_client", 700016,
                          "Application with identifier '%s' was not found in the directory '%s'."
                          % (form["client_id"], tenant))
        self.prove(app, tenant, form, origin)
        audience = self.scope(form["scope"], origin)
        token = "eyJ" + secrets.token_urlsafe(48)
        self.tokens[token] = (app.id, self.clock() + self.expires_in, audience)
        return {"token_type": "Bearer", "expires_in": self.expires_in, "ext_expires_in": self.expires_in,
                "access_token": token}

    def scope(self, scope, origin):
        if " " in scope.strip() or not scope.endswith("/.default"):
            raise Refused(400, "invalid_scope", 70011,
                          "The provided value for the input parameter 'scope' is not valid. The scope %s is "
                          "not valid." % scope)
        resource = scope[:-len("/.default")].rstrip("/")
        parts = urlsplit(resource)
        here = urlsplit(origin)
        if resource not in self.resources and (parts.scheme, parts.netloc) != (here.scheme, here.netloc):
            raise Refused(400, "invalid_resource", 500011,
                          "The resource principal named %s was not found in the tenant." % resource)
        return resource

    def prove(self, app, tenant, form, origin):
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != ASSERTION:
                raise Refused(400, "invalid_request", 900144, "The request body must contain the following "
                              "parameter: 'client_assertion_type'.")
            self.check_assertion(app, form["client_assertion"], "%s/%s/oauth2/v2.0/token" % (origin, tenant))
            return
        secret = form.get("client_secret")
        if not secret:
            raise Refused(401, "invalid_client", 7000218, "The request body must contain the following "
                          "parameter: 'client_assertion' or 'client_secret'.")
        if any(hmac.compare_digest(secret.encode(), s.encode()) for s in app.expired):
            raise Refused(401, "invalid_client", 7000222, "The provided client secret keys for app '%s' are "
                          "expired." % app.id)
        if not any(hmac.compare_digest(secret.encode(), s.encode()) for s in app.secrets):
            raise Refused(401, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret "
                          "being sent in the request is the client secret value, not the client secret ID, "
                          "for a secret added to app '%s'." % app.id)

    def check_assertion(self, app, text, endpoint):
        def wrong(code, why):
            return Refused(401, "invalid_client", code, why)
        try:
            head, body, signature = text.split(".")
            header, claims = json.loads(unbase64(head)), json.loads(unbase64(body))
            signature = unbase64(signature)
            if not isinstance(header, dict) or not isinstance(claims, dict):
                raise ValueError("no objects")
        except ValueError:
            raise wrong(50027, "JWT token is invalid or malformed.") from None
        cert = next((app.certificates[name, header[name]] for name in ("x5t#S256", "x5t")
                     if (name, header.get(name)) in app.certificates), None)
        if cert is None or (header.get("alg") == "PS256" and "x5t#S256" not in header):
            raise wrong(700027, "The certificate with identifier used to sign the client assertion is not "
                        "registered on application.")
        pads = {"PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32), "RS256": padding.PKCS1v15()}
        if header.get("alg") not in pads:
            raise wrong(5002738, "Invalid JWT token. '%s' is not a supported signature algorithm."
                        % header.get("alg"))
        try:
            cert.public_key().verify(signature, ("%s.%s" % (head, body)).encode(), pads[header["alg"]],
                                     hashes.SHA256())
        except InvalidSignature:
            raise wrong(700027, "Client assertion failed signature validation.") from None
        self.check_claims(app, claims, endpoint, wrong)

    def check_claims(self, app, claims, endpoint, wrong):
        if str(claims.get("aud", "")).lower() != endpoint.lower():
            raise wrong(700023, "Client assertion audience claim does not match Realm issuer.")
        if str(claims.get("iss", "")).lower() != app.id:
            raise wrong(700030, "Invalid certificate - subject name in certificate is not authorized; issuer "
                        "of the assertion does not match the client.")
        if str(claims.get("sub", "")).lower() != app.id:
            raise wrong(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
        now = self.clock()
        begin, end = claims.get("nbf", claims.get("iat", now)), claims.get("exp")
        if not isinstance(end, (int, float)) or not isinstance(begin, (int, float)) \
                or end <= now - 300 or begin > now + 300:
            raise wrong(700024, "Client assertion is not within its valid time range.")
        if not claims.get("jti"):
            raise wrong(50027, "JWT token is invalid or malformed: jti is missing.")

    # Bearers

    def bearer(self, header):
        """Client id behind an Authorization header, or None."""
        if not header or header[:7].lower() != "bearer ":
            return None
        found = self.tokens.get(header[7:].strip())
        if found is None:
            return None
        if found[1] <= self.clock():
            del self.tokens[header[7:].strip()]
            return None
        return found[0]
