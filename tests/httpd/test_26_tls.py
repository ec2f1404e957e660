"""The same over TLS: the upstreams' certificates are checked against the bundle that is configured."""

import pytest

from harness import PartnerCenter, wait_for
from harness.world import CRMS as SIMULATORS

CRMS = ("dynamics365", "salesforce")


@pytest.fixture(scope="module")
def simulators(pki, kind):
    options = ("--tls", pki.path("server.pem"), pki.path("server.key"))
    made = [PartnerCenter(pki, *options), SIMULATORS[kind](*options, verify=pki.path("server-ca.pem"))]
    made[0].session.verify = pki.path("server-ca.pem")
    yield made
    for simulator in made:
        simulator.stop()


def tls_world(new_world, pki, simulators, name, ca):
    world = new_world(name, partner=simulators[0], crm=simulators[1], rate=None)
    path = world.server.write("conf/upstream-ca.pem", pki.read(ca).decode())
    world.server.site.append("CosellUpstream * rate=0 ca=" + path)
    return world


def test_everything_over_tls(new_world, pki, simulators):
    world = tls_world(new_world, pki, simulators, "tls", "server-ca.pem")
    assert world.partner.base.startswith("https:") and world.cert_url.startswith("https:")
    world.start().ready()
    referral = world.refer()
    world.looked(referral)
    assert world.record(referral)
    world.partner.edit(referral["id"], {"status": "Closed", "substatus": "Won"})
    world.looked(referral)
    assert world.record(referral)["statecode"] == 1


def test_unknown_authority_gets_nothing(new_world, pki, simulators):
    """No token, no secret, no request reaches a server that cannot prove who it is."""
    since = [s.last_request() for s in simulators]
    world = tls_world(new_world, pki, simulators, "tls-unknown", "untrusted-root.pem")
    world.server.log.announce(r"CS\d+:.*certificate", "CS2003", "transport")
    world.start()
    wait_for(lambda: world.server.log.matching("certificate"), 15, "the log to say it")
    assert world.server.static_served()
    assert [s.requests(since=n) for s, n in zip(simulators, since)] == [[], []]
