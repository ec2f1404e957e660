"""A person signs in at Entra ID: authorization code with PKCE, device code (RFC 8628), and how both go wrong.

Control (GET/POST /_sandbox/signin), all members optional:

  consent    what the authorize endpoint does: "auto" signs in at once and redirects, as a browser with a session does; "page"
             shows a page with two buttons; "access_denied", "consent_required", "conditional_access", "mfa_required",
             "not_assigned", "server_error" redirect with that error
  user, mfa, role    who signs in from now on; null = as /_sandbox/tokens says. They stay with the refresh tokens that come of it
  redirect_uris      registered ones, null = any
  registration       the application at device codes: "either", "confidential" (the secret is needed: 7000218), "public" (the secret
                     is refused, then and with the refresh tokens that come of it: 700025)
  device     "wait" for /_sandbox/device, or "auto": signed in at the third question
  device_forbidden   a conditional access policy refuses device codes
  interval   seconds between two questions; asked sooner: slow_down, and it grows by 5
  declined   the error's name: "authorization_declined" as Entra has it, or "access_denied" as RFC 8628
  life       seconds of a code and of a device code

GET /_sandbox/signin/tokens: all refresh tokens that are good, in clear, the oldest first.
POST /_sandbox/device {"user_code", "do": "approve"|"deny"}: as the person does; GET: those that are open.
"""

import base64
import hashlib
import html
import secrets
from urllib.parse import urlencode

from simlib import Reply

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"

# error -> (the error parameter, AADSTS number, text)
REDIRECTED = {
    "access_denied": ("access_denied", 65004, "User declined to consent to access the app."),
    "consent_required": ("consent_required", 65001, "The user or administrator has not consented to use the application."),
    "conditional_access": ("interaction_required", 53003, "Access has been blocked by Conditional Access policies."),
    "mfa_required": ("interaction_required", 50076, "You must use multi-factor authentication to access the resource."),
    "not_assigned": ("access_denied", 50105, "The signed in user is not assigned to a role for the application."),
    "server_error": ("server_error", 90033, "A transient error has occurred."),
}
CONSENTS = ("auto", "page", *REDIRECTED)
REGISTRATIONS = ("either", "confidential", "public")


class SignIn:
    def __init__(self, tokens):
        self.tokens = tokens
        self.sim = sim = tokens.sim
        self.knobs = {"consent": "auto", "user": None, "mfa": None, "role": None, "redirect_uris": None, "registration": "either",
                      "device": "wait", "device_forbidden": False, "interval": 5, "declined": "authorization_declined", "life": 600}
        self.codes = {}    # code -> dict
        self.tickets = {}  # of pages
        self.devices = {}  # device_code -> dict
        for version in ("", "/v2.0"):
            sim.add_route("GET", "/{tenant}/oauth2%s/authorize" % version, self.authorize, auth=False)
            sim.add_route("POST", "/{tenant}/oauth2%s/devicecode" % version, self.devicecode, auth=False)
        sim.add_route("POST", "/common/consent", self.answer_page, auth=False)
        sim.add_route("GET", "/common/oauth2/deviceauth", self.device_page, auth=False)
        sim.add_route("POST", "/common/oauth2/deviceauth", self.answer_device_page, auth=False)
        sim.add_control("GET", "signin", lambda req: self.knobs)
        sim.add_control("POST", "signin", lambda req: self.configure(req.json()))
        sim.add_control("GET", "signin/tokens", lambda req: list(self.tokens.refresh))
        sim.add_control("GET", "device", lambda req: [self._shown(device) for device in self.devices.values()])
        sim.add_control("POST", "device", lambda req: self.answer_device(req.json()))

    # Control

    def configure(self, body):
        unknown = set(body) - set(self.knobs)
        if unknown:
            raise ValueError("unknown member %s; allowed: %s" % (", ".join(sorted(unknown)), ", ".join(sorted(self.knobs))))
        for name, choices in (("consent", CONSENTS), ("registration", REGISTRATIONS), ("device", ("wait", "auto"))):
            if name in body and body[name] not in choices:
                raise ValueError("%s must be one of %s" % (name, ", ".join(choices)))
        self.knobs.update(body)
        return self.knobs

    def _person(self, **more):
        """Who signs in now."""
        return {**{name: self.knobs[name] for name in ("user", "mfa", "role") if self.knobs[name] is not None}, **more}

    # Authorization code

    def authorize(self, req):
        """An application or a redirect URI that is not registered is told on a page: nobody is sent to an address that nobody knows."""
        query = req.query
        known = self.knobs["redirect_uris"]
        if query.get("client_id", "").lower() not in self.tokens.clients:
            return self._page(400, "AADSTS700016: Application with identifier '%s' was not found in the directory." % query.get("client_id"))
        if not query.get("redirect_uri") or (known is not None and query["redirect_uri"] not in known):
            return self._page(400, "AADSTS50011: The redirect URI '%s' specified in the request does not match the redirect URIs "
                                   "configured for the application." % query.get("redirect_uri"))
        if query.get("response_type") != "code":
            return self._back(query, "unsupported_response_type", 700054, "response_type is not enabled for the application.")
        if query.get("code_challenge_method", "plain") not in ("S256", "plain") or len(query.get("code_challenge", "x" * 43)) != 43:
            return self._back(query, "invalid_request", 501491, "Invalid size of Code_Challenge parameter or unknown method.")
        if self.knobs["consent"] in REDIRECTED:
            return self._back(query, *REDIRECTED[self.knobs["consent"]])
        if self.knobs["consent"] == "page":
            ticket = secrets.token_urlsafe(16)
            self.tickets[ticket] = dict(query)
            return self._page(200, "%s asks for permission to act for you in Partner Center." % query["client_id"],
                              '<form method="post" action="/common/consent"><input type="hidden" name="ticket" value="%s">'
                              '<button name="do" value="accept">Accept</button> <button name="do" value="cancel">Cancel</button></form>' % ticket)
        return self._grant_code(query)

    def answer_page(self, req):
        form = req.form()
        query = self.tickets.pop(form.get("ticket", ""), None)
        if query is None:
            return self._page(400, "AADSTS90015: Requested query string is too long or the page is too old.")
        return self._grant_code(query) if form.get("do") == "accept" else self._back(query, *REDIRECTED["access_denied"])

    def _grant_code(self, query):
        code = "0.A" + secrets.token_urlsafe(200)
        self.codes[code] = {"redirect": query["redirect_uri"], "challenge": query.get("code_challenge"),
                            "method": query.get("code_challenge_method", "plain"), "client": query["client_id"].lower(),
                            "expires": self.sim.now() + self.knobs["life"], "used": False, "person": self._person()}
        return self._redirect(query, code=code, session_state=secrets.token_hex(16))

    def _back(self, query, error, number, text):
        return self._redirect(query, error=error, error_description="AADSTS%d: %s Trace ID: 0 Correlation ID: 0" % (number, text))

    @staticmethod
    def _redirect(query, **answer):
        if "state" in query:
            answer["state"] = query["state"]
        joint = "&" if "?" in query["redirect_uri"] else "?"
        return Reply(302, headers={"Location": query["redirect_uri"] + joint + urlencode(answer)})

    @staticmethod
    def _page(status, text, more=""):
        return Reply(status, "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Sign in (simulated)</title></head><body><p>%s</p>%s</body></html>\n"
                     % (html.escape(text), more), content_type="text/html")

    def redeem_code(self, form):
        """Who signed in; a code is good for once, and its verifier is compared as it was announced."""
        code = self.codes.get(form.get("code", ""))
        if code is None or code["client"] != form.get("client_id", "").lower() or code["expires"] < self.sim.now():
            raise self.tokens.error(400, "invalid_grant", 70008,
                                    "The provided authorization code or refresh token has expired due to inactivity.")
        if code["used"]:
            raise self.tokens.error(400, "invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.")
        if code["redirect"] != form.get("redirect_uri"):
            raise self.tokens.error(400, "invalid_grant", 500112, "The reply address does not match the one of the authorization request.")
        code["used"] = True
        verifier = form.get("code_verifier", "")
        if code["challenge"] is not None:
            shown = verifier
            if code["method"] == "S256":
                shown = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
            if not 43 <= len(verifier) <= 128 or not secrets.compare_digest(shown, code["challenge"]):
                raise self.tokens.error(400, "invalid_grant", 501481, "The Code_Verifier does not match the code_challenge.")
        return code["person"]

    # Device code

    def devicecode(self, req):
        self.tokens.check_tenant(req)
        form = req.form()
        if form.get("client_id", "").lower() not in self.tokens.clients:
            raise self.tokens.error(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        first = not req.path.endswith("/v2.0/devicecode")
        if not form.get("resource" if first else "scope"):
            raise self.tokens.error(400, "invalid_request", 900144, "The request body must contain the following parameter: '%s'."
                                    % ("resource" if first else "scope"))
        if self.knobs["device_forbidden"]:
            raise self.tokens.error(400, "invalid_grant", 53003, "Access has been blocked by Conditional Access policies. "
                                                                 "The access policy does not allow token issuance.")
        code, user = "DAQABAA" + secrets.token_urlsafe(150), "".join(secrets.choice(LETTERS) for _ in range(9))
        life, interval = int(self.knobs["life"]), int(self.knobs["interval"])
        self.devices[code] = {"user_code": user, "client": form["client_id"].lower(), "expires": self.sim.now() + life, "scope": form.get("scope", ""),
                              "interval": interval, "asked": None, "times": 0, "state": "open", "person": None}
        where = str(req.http.url.origin()) + "/common/oauth2/deviceauth"
        answer = {"user_code": user, "device_code": code, "expires_in": str(life) if first else life, "interval": str(interval) if first else interval,
                  "verification_url" if first else "verification_uri": where,
                  "message": "To sign in, use a web browser to open the page %s and enter the code %s to authenticate." % (where, user)}
        return Reply.json(200, answer, {"Cache-Control": "no-store"})

    def answer_device(self, body):
        for device in self.devices.values():
            if device["user_code"] == str(body.get("user_code", "")).replace("-", "").upper():
                self._answer(device, body.get("do", "approve"))
                return self._shown(device)
        raise ValueError("no such user_code")

    def _answer(self, device, what):
        if what not in ("approve", "deny"):
            raise ValueError("do must be approve or deny")
        device["state"] = "approved" if what == "approve" else "denied"
        device["person"] = self._person()

    @staticmethod
    def _shown(device):
        return {name: device[name] for name in ("user_code", "state", "times", "interval", "expires")}

    def device_page(self, req):
        return self._page(200, "Enter the code that your application shows.", '<form method="post"><input name="user_code" aria-label="Code"> '
                          '<button name="do" value="approve">Next</button> <button name="do" value="deny">Cancel</button></form>')

    def answer_device_page(self, req):
        try:
            self.answer_device(req.form())
        except ValueError as error:
            return self._page(400, str(error))
        return self._page(200, "You may close this window.")

    def redeem_device(self, form):
        """Who signed in."""
        device = self.devices.get(form.get("device_code", form.get("code", "")))
        if device is None or device["client"] != form.get("client_id", "").lower():
            raise self.tokens.error(400, "bad_verification_code", 70018, "The verification code is not recognised.")
        now, last = self.sim.now(), device["asked"]
        device["asked"], device["times"] = now, device["times"] + 1
        if device["state"] == "used":
            raise self.tokens.error(400, "invalid_grant", 54005, "OAuth2 device code was already redeemed.")
        if device["expires"] < now:
            raise self.tokens.error(400, "expired_token", 70020, "The provided value for the device code is expired.")
        if last is not None and now - last < device["interval"] - 0.05:
            device["interval"] += 5
            raise self.tokens.error(400, "slow_down", 70016, "The client asks too often.")
        if device["state"] == "open" and self.knobs["device"] == "auto" and device["times"] >= 3:
            self._answer(device, "approve")
        if device["state"] == "denied":
            raise self.tokens.error(400, self.knobs["declined"], 70017, "The end user denied the authorization request.")
        if device["state"] == "open":
            raise self.tokens.error(400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
        device["state"] = "used"
        return {**device["person"], "public": self.knobs["registration"] == "public"}, device["scope"]

    def secret_wanted(self, form):
        """True: needed; False: refused; None: may be there."""
        if form.get("grant_type") in (DEVICE_GRANT, "device_code"):
            return {"either": None, "confidential": True, "public": False}[self.knobs["registration"]]
        if form.get("grant_type") == "refresh_token" and (self.tokens.people.get(form.get("refresh_token")) or {}).get("public"):
            return False
        return True
