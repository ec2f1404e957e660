"""From `make install` to the first synced deal, as a new user does it: the README's chapter, step by step, against the simulators.

Only what is installed is used: the module, the example configuration with the addresses, ids and directories of this place, and cosellctl.
"""

import os
import re
import subprocess

import pytest
import requests

from harness import wait_for
from harness.ctl import Ctl, read_until
from harness.paths import BUILD, REPO, apxs
from harness.world import CLIENT_ID, CLIENT_SECRET, CRM_CLIENT_ID, CRM_CLIENT_SECRET, SALESFORCE_CLIENT_ID, World

CRMS = ("dynamics365", "salesforce")
PASSWORD = "correct horse battery"
TYPED = []  # what was typed, for the README's sake


class Newcomer:
    """Somebody with a machine, the README and the names that others gave him."""

    def __init__(self, pki, kind):
        self.world = World("fifteen" if kind == "dynamics365" else "fifteen-sf", pki=pki, kind=kind)
        self.kind, self.server = kind, self.world.server
        self.root = self.server.path("root")  # where `make install` installs
        self.etc = self.server.path("etc/cosell")
        os.makedirs(self.etc)
        self.transcript = os.path.join(BUILD, "fifteen-%s.txt" % kind)
        with open(self.transcript, "w"):
            pass

    def wrote(self, command, said):
        """For whoever wants to read what this looked like."""
        TYPED.append(command)
        with open(self.transcript, "a") as file:
            file.write("$ %s\n%s\n" % (command, said))

    def type(self, *command, **options):
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, encoding="utf-8", **options).stdout
        self.wrote(" ".join(command), said)
        return said

    def ctl(self, *words, status=0, **options):
        said = self.ctl_program(*words, status=status, **options)
        self.wrote("cosellctl " + " ".join(words), said.err + said.out)
        return said

    def installed(self, path):
        return self.root + path

    def secret(self, name, text):
        with open(os.open(os.path.join(self.etc, name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text + "\n")

    # 1

    def install(self):
        self.type("make", "-s", "install", "DESTDIR=" + self.root, cwd=REPO)

    # 2, 3: what Entra and the CRM's administrator gave

    def prepare(self):
        self.secret("pc-secret", CLIENT_SECRET)
        self.secret("crm-hook", "a shared secret of the sandbox")
        with open(os.path.join(self.etc, "microsoft-issuing.pem"), "wb") as file:
            file.write(self.world.pki.read("intermediates.pem"))
        if self.kind == "salesforce":
            key, certificate = os.path.join(self.etc, "salesforce.key"), os.path.join(self.etc, "salesforce.crt")
            self.type("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "730", "-subj", "/CN=cosell", "-keyout", key, "-out", certificate)
            with open(certificate) as file:
                self.control(self.world.crm, "tokens", {"certificate": file.read()})
        else:
            self.secret("crm-secret", CRM_CLIENT_SECRET)
            self.control(self.world.crm, "keys", {"table": "opportunity", "name": "acme_referral", "columns": ["msft_referralidentifier"]})

    @staticmethod
    def control(simulator, path, body):
        answer = requests.post(simulator.info["sandbox"] + "/" + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text

    # 4

    def example(self):
        """The lines within the installed example's virtual host, with this place's names."""
        with open(self.installed("/usr/share/cosell/example-%s.conf" % self.kind)) as file:
            text = file.read().replace("\\\n", " ")
        inner = re.search(r"<VirtualHost \*:443>\n(.*)</VirtualHost>", text, re.S).group(1)
        inner = inner.replace("/etc/cosell/", self.etc + "/").replace("/usr/share/cosell/", self.installed("/usr/share/cosell/"))
        return [self.here(line) for line in inner.splitlines() if line.strip() and not line.strip().startswith(("#", "ServerName"))]

    def here(self, line):
        partner, crm = self.world.partner.info, self.world.crm.info
        line = re.sub(r"\s+", " ", line.strip())
        if line.startswith("CosellPartnerCenter"):
            return self.say(line, tenant=partner["tenant"], client_id=CLIENT_ID, token_url=partner["token"].replace("/oauth2/token", "/oauth2/v2.0/token"),
                            webhooks_url=partner["base"], referrals_url=partner["base"])
        if line.startswith("CosellCrm") and self.kind == "salesforce":
            return self.say(line, client_id=SALESFORCE_CLIENT_ID, token_url=crm["token"]).replace("https://contoso.my.salesforce.com", crm["base"])
        if line.startswith("CosellCrm"):
            return self.say(line, tenant=crm["token"].split("/")[3], client_id=CRM_CLIENT_ID, token_url=crm["token"]).replace(
                "https://contoso.crm.dynamics.com", crm["base"])
        if line.startswith("CosellSignature"):
            ca = self.server.write("conf/ca.pem", self.world.pki.read("ca.pem").decode())
            return self.say(line, url=self.world.cert_url, ca=ca)
        return line

    @staticmethod
    def say(line, **settings):
        for name, value in settings.items():
            name = name.replace("_", "-")
            line, n = re.subn(r" %s=\S+" % name, " %s=%s" % (name, value), line)
            if not n:
                line += " %s=%s" % (name, value)
        return line

    def configure(self):
        server, modules = self.server, apxs("LIBEXECDIR")
        server.module = self.installed(apxs("LIBEXECDIR") + "/mod_cosell.so")
        server.site[:] = self.example()
        server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", modules, name)
                            for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
        digest = self.type("openssl", "passwd", "-apr1", PASSWORD).strip()
        with open(os.path.join(self.etc, "admins"), "w") as file:
            file.write("alice:%s\n" % digest)
        server.configure()
        status, said = server.configtest()
        assert status == 0 and "Syntax OK" in said, said
        server.start()
        # As if typed: the address in the user's file, the password in ~/.netrc.
        self.ctl_program = Ctl(None, "alice", '"%s"' % PASSWORD, program=self.installed("/usr/bin/cosellctl"))
        self.ctl_program.write(".config/cosell/ctl.conf", "url=%s/cosell-admin\n" % server.base)

    # 5

    def login(self):
        process = self.ctl_program.start("login")
        said = read_until(process.stdout, "\n\n")
        address = re.search(r"https?://\S+", said).group(0)
        assert address.startswith(self.world.partner.base), said
        page = requests.get(address, timeout=30)  # the browser: sign-in, consent, and back to cosell-login
        assert page.status_code == 200 and "signed in" in page.text, page.text
        out, err = process.communicate(timeout=30)
        self.wrote("cosellctl login", said + out)
        assert process.returncode == 0 and "signed in as integration@partner.example" in said + out, (said + out, err)


def marked(said, mark):
    """The checks of a doctor that have this mark."""
    return [line.split()[1] for line in said.splitlines() if line.startswith(mark)]


@pytest.fixture(scope="module")
def newcomer(pki, kind):
    person = Newcomer(pki, kind)
    yield person
    person.world.close()


def test_fifteen_minutes(newcomer):
    world = newcomer.world
    newcomer.install()
    newcomer.prepare()
    newcomer.configure()
    world.server.log.announce("CS2003")  # nobody has signed in yet
    wait_for(lambda: newcomer.ctl_program.run("status").status == 0, 15, "the store to be made")
    said = newcomer.ctl("status")
    assert "contoso" in said.out and "alive" in said.out
    newcomer.login()

    said = newcomer.ctl("doctor", status=1).out  # what is still missing, and what to do about it
    assert marked(said, "FAIL") == ["partner-center.webhook"] and marked(said, "warn") == ["partner-center.organization"], said
    assert "cosellctl webhook register" in said
    said = newcomer.ctl("webhook", "register").out  # the address is the configuration's
    assert world.server.base + "/partner-center" in said and "referral-created" in said
    said = newcomer.ctl("webhook", "test").out
    assert "the test event came in" in said and "signature" in said, said

    newcomer.wrote("# a referral comes in", "")
    referral = world.partner.refer("First of many", status="Active", substatus="Accepted")  # somebody at Microsoft; its event comes by itself
    record = wait_for(lambda: world.record(referral), 60, "the first deal in the CRM")
    assert record["name"] == "First of many"
    wait_for(lambda: "linked" in newcomer.ctl_program("deals").out, 30, "the deal to rest")
    wait_for(lambda: newcomer.ctl_program("status").out.count(" 0 outstanding"), 60, "rest")
    assert "linked  Active/Accepted  First of many" in newcomer.ctl("deals").out
    said = newcomer.ctl("show", referral["id"]).out
    for text in ("First of many", "linked", referral["id"], "Active/Accepted", "both sides are as the rules want them", "create"):
        assert text in said, (text, said)
    assert "First of many" in newcomer.ctl("deals", "--search", "first").out
    assert "create" in newcomer.ctl("journal", "-n", "20").out
    assert "nothing stands in the way" in newcomer.ctl("problems").err
    said = newcomer.ctl("resync", "--all", "--dry-run").out
    assert "nothing was written" in said and "would change 0" in said, said
    said = newcomer.ctl("doctor").out
    assert "everything is as it must be" in said and not marked(said, "FAIL") and not marked(said, "warn"), said
    assert newcomer.ctl("webhook", "show").out.count(world.server.base + "/partner-center")


def test_all_is_installed(newcomer):
    module = apxs("LIBEXECDIR") + "/mod_cosell.so"
    for path in (module, "/usr/bin/cosellctl", "/usr/share/man/man1/cosellctl.1", "/usr/share/bash-completion/completions/cosellctl",
                 "/usr/share/cosell/mapping/%s.json" % newcomer.kind, "/usr/share/cosell/mapping.schema.json"):
        assert os.path.getsize(newcomer.installed(path)) > 500, path
    assert os.access(newcomer.installed("/usr/bin/cosellctl"), os.X_OK)


def test_no_secret_was_said(newcomer):
    """Neither in the commands nor in what the server logged."""
    log = newcomer.server.log.text()
    for secret in (CLIENT_SECRET, CRM_CLIENT_SECRET, PASSWORD):
        assert secret not in log
        assert not [line for line in TYPED if line.startswith("cosellctl") and secret in line]


def test_the_readme_says_what_was_typed(newcomer):
    """Each cosellctl of the chapter was typed here, its addresses apart."""
    with open(os.path.join(REPO, "README.md"), encoding="utf-8") as file:
        chapter = re.search(r"^## Fifteen minutes$(.*?)^## ", file.read(), re.S | re.M)
    said = re.findall(r"^ *\$ (cosellctl .*?)(?:  +#.*)?$", chapter.group(1), re.M)
    assert len(said) > 5
    typed = {plain(line) for line in TYPED}
    assert not [line for line in said if plain(line) not in typed]


def plain(line):
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+$", "ID", re.sub(r"https?://\S*?(/[a-z-]+)(?=\s|$)", r"URL\1", line)).replace("--device", "").strip()
