"""cosell-admin with a user, its pages and forms, as a browser would fetch and send them."""

import base64
import hashlib
import html.parser
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from .paths import apxs

ADMIN = "/cosell-admin"
USERS = {"alice": "wonder", "bob": "builder"}
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VOID = {"meta", "link", "input", "br", "hr", "img"}


def add_admin(server, locations=None):
    """A Location of cosell-admin that asks for a user, one that does not, and one for sellers."""
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "".join("%s:{SHA}%s\n" % (user, base64.b64encode(hashlib.sha1(password.encode()).digest()).decode())
                                               for user, password in USERS.items()))
    (server.locations if locations is None else locations).extend([
        '<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"', "  AuthUserFile " + users,
        "  Require valid-user", "</Location>", '<Location "/open-admin">', "  SetHandler cosell-admin", "</Location>",
        '<Location "/why">', "  SetHandler cosell-explain", "</Location>"])


def sign_in(user="alice"):
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (user, USERS[user])).encode()).decode()}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode("utf-8")
        self.page = Page(self.text) if "html" in (headers.get("Content-Type") or "") and body else None


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *ignored):
        return None


def fetch(base, path, method="GET", body=None, user=None, **headers):
    """headers of None are left out."""
    chosen = {"Accept": HTML, **(sign_in(user) if user else {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(base + path, body, {name: value for name, value in chosen.items() if value is not None}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        with opener.open(request, timeout=20) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as answer:
        return Answer(answer.code, answer.headers, answer.read())


def send(base, path, fields, user="alice", **headers):
    """A form as a browser sends it."""
    headers.setdefault("Content_Type", "application/x-www-form-urlencoded")
    headers.setdefault("Origin", base)
    headers.setdefault("Sec_Fetch_Site", "same-origin")
    body = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
    return fetch(base, path, "POST", body, user, **headers)


class Page(html.parser.HTMLParser):
    """What a page is made of: elements with attributes, forms with their fields, text; a mistake in nesting fails."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.forms, self.open, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, "not closed: %s" % self.open
        self.said = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag == "form":
            self.forms.append({"method": attributes.get("method"), "fields": {}, "button": None})
        elif tag == "input" and self.forms and "form" in self.open and attributes.get("name"):
            self.forms[-1]["fields"][attributes["name"]] = attributes.get("value") or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, "</%s> within %s" % (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)
        if "button" in self.open and "form" in self.open:
            self.forms[-1]["button"] = (self.forms[-1]["button"] or "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        return [link["href"] for link in self.all("a") if link.get("href")]

    def form(self, button, **fields):
        """The fields of the first form with this button whose fields say so."""
        for form in self.forms:
            if form["button"] == button and all(form["fields"].get(name) == value for name, value in fields.items()):
                return dict(form["fields"])
        raise AssertionError("no button %r with %s; there are %s" % (button, fields, [form["button"] for form in self.forms]))

    def buttons(self):
        return [form["button"] for form in self.forms if form["method"] == "post"]


def tidy(text):
    """What Debian's tidy says against a page; None when it is not installed."""
    if not shutil.which("tidy"):
        return None
    done = subprocess.run(["tidy", "-e", "-q", "-utf8"], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return "" if done.returncode == 0 else "exit %d: %s" % (done.returncode, done.stdout.decode("utf-8", "replace")[:2000])
