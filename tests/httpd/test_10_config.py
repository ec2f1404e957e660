"""configtest finds every mistake: file, line, value, what is allowed; a reload with it leaves the server serving."""

import datetime
import json
import os
import re
import signal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import REPO, ConfigRefused, Event, wait_for
from harness.world import CRM


def site(directive, old, new):
    """The site's directive with something replaced."""
    def change(world):
        line = world.directive(directive)
        assert re.search(old, line), line
        world.replace(directive, re.sub(old, lambda match: new, line))
        return directive
    return change


def line(text, main=False):
    """One more line."""
    def change(world):
        (world.server.globals_ if main else world.server.site).append(text)
        return text
    return change


def without(directive):
    def change(world):
        world.replace(directive, None)
        return "<VirtualHost"  # where there is no line, the host is named
    return change


def mapping(edit):
    """The mapping file, changed as a document or as text; the message names a place in it."""
    def change(world):
        if isinstance(edit, str):
            with open(world.mapping, "a") as file:
                file.write(edit)
        else:
            world.edit_mapping(edit)
        return None
    return change


def break_line(document):
    document["records"]["opportunity"]["lines"]["name"]["type"] = "txt"


def add_lists(document):
    document["records"]["opportunity"]["lists"] = {"team": {"pc": "/team", "key": "email"}}


def two_writers(document):
    lines = document["records"]["opportunity"]["lines"]
    lines["notes2"] = dict(lines["notes"])


def unknown_path(document):
    document["records"]["opportunity"]["lines"]["name"]["pc"] = "/nmae"


def pem_pair(world, name):
    """A certificate and its key as files."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2026, 1, 1)
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=3650))
                   .sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    return (world.server.write("conf/%s.pem" % name, certificate.public_bytes(pem).decode()),
            world.server.secret(name, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()))


def credentials(text):
    """The CRM's client-secret= replaced; "{a}" and "{a_key}" are the files of a pair."""
    def change(world):
        files = {}
        for name in ("a", "b"):
            files[name], files[name + "_key"] = pem_pair(world, "cert-" + name)
        return site("CosellCrm", r"client-secret=\S+", text.format(secret="file:/etc/hostname", **files))(world)
    return change


def salesforce(key):
    """A CRM of the other kind, which signs in with a key alone: what key() makes of the names of a pair."""
    def change(world):
        with open(os.path.join(REPO, "conf", "mapping", "salesforce.json")) as file:
            profile = world.server.write("conf/salesforce.json", file.read())
        line = ("CosellCrm %s salesforce https://contoso.my.salesforce.com client-id=3MVG9 user=sync@contoso.example mapping=%s key=%s"
                % (CRM, profile, key(world)))
        world.replace("CosellCrm", line)
        return line
    return change


def salesforce_at(url):
    def change(world):
        where = salesforce(key_text(sealed_key))(world)
        world.replace("CosellCrm", where + " token-url=" + url)
        return where
    return change


def key_text(make):
    return lambda world: world.server.secret("key", make())


def sealed_key(key=None, protection=None):
    key = key or rsa.generate_private_key(65537, 2048)
    protection = protection or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def webhook_secrets(*values, name="webhook-secret"):
    """A CRM for each, the first with the others after it; a value is a secret's text, or a reference that begins with '='."""
    def change(world):
        first = world.directive("CosellCrm")
        lines = []
        for number, value in enumerate(values):
            reference = value[1:] if value.startswith("=") else world.server.secret("webhook-%d" % number, value)
            lines.append(first.replace("CosellCrm %s " % CRM, "CosellCrm crm%d " % number) + " %s=%s" % (name, reference))
        world.replace("CosellCrm", lines[0])
        world.server.site += lines[1:]
        return "CosellCrm crm%d " % (len(values) - 1)
    return change


def state_dir(path):
    def change(world):
        world.server.globals_[:] = [text for text in world.server.globals_ if not text.startswith("CosellStateDir")]
        world.server.globals_.append('CosellStateDir "%s"' % path)
        return 'CosellStateDir "%s"' % path
    return change


# name: (change, value that must be shown, what is allowed as a pattern)
WRONG = {
    "engine neither on nor off": (site("CosellEngine", "on", "perhaps"), "CosellEngine", r"on\b.*off|On\b.*Off"),
    "site with a blank": (site("CosellSite", "contoso", '"con toso"'), "con toso", r"letters|allowed"),
    "site without a name": (without("CosellSite"), None, "CosellSite"),
    "no Partner Center": (without("CosellPartnerCenter"), None, "CosellPartnerCenter"),
    "no CRM": (without("CosellCrm"), None, "CosellCrm"),
    "literal secret": (site("CosellPartnerCenter", r"client-secret=\S+", "client-secret=hunter2"), None, "file:.*exec:"),
    "relative secret": (site("CosellPartnerCenter", r"client-secret=\S+", "client-secret=file:secret"), "file:secret", "absolute|file:/"),
    "unknown parameter": (site("CosellPartnerCenter", "tenant=", "tennant="), "tennant", "tenant"),
    "missing parameter": (site("CosellCrm", r"tenant=\S+ ", ""), None, "tenant"),
    "application's id of Partner Center": (site("CosellPartnerCenter", r"client-id=\S+", "client-id=my-app"), "my-app", "GUID"),
    "application's id of a CRM": (site("CosellCrm", r"client-id=\S+", "client-id=1234"), "1234", "GUID"),
    "neither secret nor certificate": (credentials(""), None, "client-secret=.*certificate="),
    "secret and certificate": (credentials("client-secret={secret} certificate={a} key={a_key}"), None, "client-secret="),
    "certificate without key": (credentials("certificate={a}"), None, "key="),
    "key without certificate": (credentials("key={a_key}"), None, "certificate="),
    "certificate that is not there": (credentials("certificate=/nonexistent/c.pem key={a_key}"), "/nonexistent/c.pem", "No such file"),
    "certificate that is none": (credentials("certificate=/etc/hostname key={a_key}"), "/etc/hostname", "certificate as PEM"),
    "key of another certificate": (credentials("certificate={a} key={b_key}"), "cert-b", "private key"),
    "key that is not there": (credentials("certificate={a} key=file:/nonexistent/k.pem"), "/nonexistent/k.pem", "No such file"),
    "key that is a certificate": (salesforce(lambda world: "file:" + pem_pair(world, "cert-a")[0]), "cert-a.pem", "private RSA key"),
    "key of another kind": (salesforce(key_text(lambda: sealed_key(ec.generate_private_key(ec.SECP256R1())))), "key=file:", "private RSA key"),
    "key that is none": (salesforce(key_text(lambda: "hunter2 hunter2")), "key=file:", "private RSA key"),
    "key with a passphrase": (salesforce(key_text(lambda: sealed_key(protection=serialization.BestAvailableEncryption(b"hunter2")))), "key=file:",
                              "without a passphrase"),
    "literal webhook secret": (webhook_secrets("=hunter2hunter2hunter2"), None, "webhook-secret=.*file:.*exec:"),
    "webhook secret that is not there": (webhook_secrets("=file:/nonexistent/w"), "/nonexistent/w", "No such file"),
    "short webhook secret": (webhook_secrets("hunter2"), "webhook-0", "7 characters.*at least 16"),
    "two CRMs of one webhook secret": (webhook_secrets("0123456789abcdef-hunter2", "0123456789abcdef-hunter2"), "webhook-1",
                                       "crm0.*a secret of its own"),
    "two CRMs of one webhook secret's file": (webhook_secrets("=file:/etc/hostname", "=file:/etc/hostname"), "/etc/hostname", "a secret of its own"),
    "webhook secret of a command that is not there": (webhook_secrets("=exec:/nonexistent/w"), "/nonexistent/w", "cannot be executed"),
    "literal key": (credentials("certificate={a} key=hunter2"), None, "file:.*exec:"),
    "no parent of the state directory": (state_dir("/nonexistent/parent/state"), "/nonexistent/parent", "No such file.*make it"),
    "a file as state directory": (state_dir("/etc/hostname"), "/etc/hostname", "not a directory"),
    "sign-in without a path at Salesforce": (salesforce_at("https://login.salesforce.com"), '"https://login.salesforce.com"',
                                             r"no path.* https://login\.salesforce\.com/services/oauth2/token"),
    "sign-in without a path at Partner Center": (site("CosellPartnerCenter", r"token-url=\S+", "token-url=https://login.microsoftonline.us/"),
                                                 "https://login.microsoftonline.us/", r"no path.* https://login\.microsoftonline\.us/\S+/oauth2/v2\.0/token"),
    "sign-in without a path at Dynamics 365": (site("CosellCrm", r"token-url=\S+", "token-url=https://login.microsoftonline.us"),
                                               "https://login.microsoftonline.us", r"no path.* https://login\.microsoftonline\.us/\S+/oauth2/v2\.0/token"),
    "a reserve of what has no quota": (line("CosellUpstream partner-center reserve=10"), "partner-center", r"reserve=10.*allowed.*rate=.*reserve= for \*"),
    "a reserve of a CRM without quota": (line("CosellUpstream %s reserve=10" % CRM), CRM, r"reserve=10.*allowed.*rate="),
    "http to elsewhere": (site("CosellCrm", r"http://127.0.0.1:\d+ ", "http://contoso.crm.dynamics.com "), "http://contoso.crm.dynamics.com",
                          "https"),
    "http to a name like loopback": (site("CosellCrm", r"http://127.0.0.1:\d+ ", "http://127.evil.example "), "http://127.evil.example", "https"),
    "unknown CRM type": (site("CosellCrm", "dynamics365", "siebel"), "siebel", "dynamics365"),
    "two CRMs of one name": (lambda world: line(world.directive("CosellCrm"))(world), CRM, "name|once|twice|already|different"),
    "signature url elsewhere without TLS": (site("CosellSignature", r"url=\S+", "url=http://example.com/cert/a.cer"),
                                            "http://example.com/cert/a.cer", "https"),
    "no such bundle": (site("CosellSignature", r"ca=\S+", "ca=/nonexistent/ca.pem"), "/nonexistent/ca.pem", "."),
    "bundle that is none": (site("CosellSignature", r"ca=\S+", "ca=/etc/hostname"), "/etc/hostname", "PEM|certificate"),
    "revocation": (site("CosellSignature", "$", " revocation=maybe"), "maybe", "off.*crl:"),
    "upstream unknown": (line("CosellUpstream salesforce rate=1"), "salesforce", "partner-center"),
    "rate negative": (line("CosellUpstream partner-center rate=-1"), "-1", r"\d|number"),
    "concurrency too high": (line("CosellUpstream partner-center concurrency=9999"), "9999", r"64|allowed"),
    "timeout no time": (line("CosellUpstream login timeout=soon"), "soon", r"time|s\b"),
    "poll no time": (line("CosellPoll 5parsecs"), "5parsecs", r"time|10s|s, m"),
    "workers": (line("CosellWorkers 65", main=True), "65", "64"),
    "retention": (line("CosellRetention journal=0d", main=True), "0d", "1h|3650d"),
    "store": (line('CosellStore "pgsql host=db"', main=True), "pgsql", "sqlite"),
    "password in conninfo": (line('CosellStore "pgsql host=db password=x"', main=True), "CosellStore", "sqlite|password"),
    "server directive in a host": (line("CosellWorkers 2"), "CosellWorkers", "server|here"),
    "no mapping file": (site("CosellCrm", r"mapping=\S+", "mapping=/nonexistent/map.json"), "/nonexistent/map.json", "."),
    "mapping is no JSON": (mapping("}"), None, r"dynamics365\.json: ?(line )?\d+(:|, column )\d+"),
    "mapping with an unknown type": (mapping(break_line), "txt", r"dynamics365\.json:\d+:\d+: /records/opportunity/lines/name/type.*text"),
    "mapping with half a list": (mapping(add_lists), "lists", r"dynamics365\.json:\d+:\d+: /records/opportunity/lists/team.*missing"),
    "two lines write one column": (mapping(two_writers), "description", r"dynamics365\.json:\d+:\d+: "),
    "mapping with an unknown path": (mapping(unknown_path), "/nmae", r"dynamics365\.json:\d+:\d+: "),
}


@pytest.fixture(scope="module")
def running(world_of):
    return world_of("config").start().ready()


@pytest.fixture
def world(running):
    """The running world; its configuration is put back afterwards."""
    globals_, lines = list(running.server.globals_), list(running.server.site)
    with open(running.mapping) as file:
        document = file.read()
    yield running
    running.server.globals_[:], running.server.site[:] = globals_, lines
    with open(running.mapping, "w") as file:
        file.write(document)
    running.server.configure()


def serving(world):
    assert world.server.static_served()
    assert world.send(Event("test-created", uri="")).status == 200


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_configuration(world, mistake):
    change, value, allowed = WRONG[mistake]
    where = change(world)
    world.server.configure()
    status, said = world.server.configtest()
    assert status != 0, "configtest accepts it"
    if where is not None:
        number = world.server.line_of(where)
        conf = re.escape(world.server.conf)
        assert re.search(r"line %d of %s|%s:%d\b" % (number, conf, conf, number), said), said
    if value is not None:
        assert value in said, said
    assert re.search(allowed, said, re.S), said
    assert "hunter2" not in said
    pids = set(world.server.processes())
    with pytest.raises(ConfigRefused):
        world.server.graceful()
    assert set(world.server.processes()) == pids
    serving(world)


def test_all_mistakes_of_a_mapping_at_once(world):
    world.edit_mapping(lambda d: (break_line(d), unknown_path(d)))
    world.server.configure()
    status, said = world.server.configtest()
    assert status != 0 and "txt" in said and "/nmae" in said


def test_two_hosts_of_one_site_must_agree(world):
    other = ['<VirtualHost 127.0.0.1:%d>' % world.server.port, "ServerName other.example", *world.server.site, "</VirtualHost>"]
    world.server.tail += other
    try:
        world.server.configure()
        assert world.server.configtest()[0] == 0, "equal settings may share a site"
        world.server.tail[:] = [text.replace("CosellUpstream * rate=0", "CosellUpstream * rate=5") for text in world.server.tail]
        world.server.configure()
        status, said = world.server.configtest()
        assert status != 0 and "contoso" in said
    finally:
        del world.server.tail[:]


def test_good_configuration_is_accepted(world):
    world.server.configure()
    assert world.server.configtest() == (0, "Syntax OK\n")


def test_certificate_and_key_are_accepted(world):
    credentials("certificate={a} key={a_key}")(world)
    world.server.configure()
    assert world.server.configtest() == (0, "Syntax OK\n")


def test_key_alone_is_accepted(world):
    salesforce(key_text(sealed_key))(world)
    world.server.configure()
    assert world.server.configtest() == (0, "Syntax OK\n")


def test_webhook_secrets_are_accepted(world):
    """Each CRM its own; commands are not run."""
    mark = world.server.path("tmp/was-run")
    command = world.server.write("conf/give-secret", "#!/bin/sh\ntouch %s\necho 0123456789abcdef-of-a-command\n" % mark, 0o755)
    webhook_secrets("0123456789abcdef-of-one", "0123456789abcdef-of-two", "=exec:" + command)(world)
    world.server.configure()
    assert world.server.configtest() == (0, "Syntax OK\n")
    assert not os.path.exists(mark)
    if os.geteuid() == 0:
        status, said = world.server.run("-t", user="www-data")
        assert status == 0 and "webhook-0" in said and "webhook-1" in said, said


def test_forgotten_switch_is_said(world):
    """Directives without CosellEngine on do nothing: said, but no mistake; off is meant so."""
    world.replace("CosellEngine", None)
    world.server.configure()
    status, said = world.server.configtest()
    assert status == 0 and "no CosellEngine on" in said and "<VirtualHost" in said, said
    world.server.site.append("CosellEngine off")
    world.server.configure()
    assert world.server.configtest() == (0, "Syntax OK\n")


def test_host_that_only_inherits_is_no_mistake(world):
    world.server.tail += ["<VirtualHost 127.0.0.1:%d>" % world.server.port, "ServerName other.example", "</VirtualHost>"]
    try:
        world.server.configure()
        assert world.server.configtest() == (0, "Syntax OK\n")
    finally:
        del world.server.tail[:]


def test_configtest_touches_nothing(new_world):
    world = new_world("untouched")
    world.server.configure()
    assert world.server.configtest()[0] == 0
    assert not os.path.exists(world.server.state)


def test_missing_secret_is_found(world):
    world.replace("CosellPartnerCenter", re.sub(r"client-secret=\S+", "client-secret=file:/nonexistent/secret",
                                                world.directive("CosellPartnerCenter")))
    world.server.configure()
    status, said = world.server.configtest()
    assert status != 0 and "/nonexistent/secret" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user that may not read root's files")
def test_unreadable_secret_is_only_a_warning_of_configtest(world):
    """It may be 0600 root, and configtest run by somebody else."""
    world.server.configure()
    status, said = world.server.run("-t", user="www-data")
    assert status == 0 and "conf/secrets/" in said, said


def reload_signal(world):
    """The reload itself, without the check that `-k graceful` makes before."""
    before = set(world.server.children())
    os.kill(world.server.pid(), signal.SIGUSR1)
    wait_for(lambda: set(world.server.children()) - before, 15, "a new generation")


def test_bad_mapping_at_a_reload_degrades_the_site_alone(world):
    world.server.log.announce("CS1002", "CS1012", "mapping", "degraded")
    world.edit_mapping(break_line)
    reload_signal(world)
    answer = wait_for(lambda: (lambda a: a if a.status == 503 else None)(world.send(Event("test-created", uri=""))), 10, "503")
    assert answer.headers.get("retry-after")
    assert world.server.static_served()
    assert "txt" in json.dumps(world.server.status())
    document = world.server.log.text()
    assert "txt" in document
    with open(world.mapping) as file:
        broken = json.load(file)
    broken["records"]["opportunity"]["lines"]["name"]["type"] = "text"
    with open(world.mapping, "w") as file:
        json.dump(broken, file)
    world.server.graceful()
    wait_for(lambda: world.send(Event("test-created", uri="")).status == 200, 10, "200 again")


def test_missing_secret_stops_the_site_not_the_server(world):
    world.server.log.announce("secret", "degraded", "CS1012")
    path = world.server.path("conf/secrets/pc-client")
    os.rename(path, path + ".away")
    try:
        reload_signal(world)
        serving(world)
        wait_for(lambda: world.server.log.matching("pc-client"), 10, "the log to name the file")
    finally:
        os.rename(path + ".away", path)
    reload_signal(world)
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), 20, "the opportunity")
