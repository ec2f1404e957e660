"""Two sites in one server: each is a lane, and one's trouble is not the other's."""

import pytest

from harness import wait_for
from harness.server import STATUS, WEBHOOK

CRMS = ("dynamics365", "salesforce")


@pytest.fixture(scope="module")
def sites(world_of):
    """Two worlds; the second is a virtual host of the first one's server."""
    first, second = world_of("sites"), world_of("sites-other", site="fabrikam")
    server, port = first.server, second.server.port
    server.tail += ["Listen 127.0.0.1:%d" % port, "<VirtualHost 127.0.0.1:%d>" % port, "ServerName 127.0.0.1", *second.server.site,
                    '<Location "%s">' % WEBHOOK, "SetHandler cosell-webhook", "</Location>",
                    '<Location "%s">' % STATUS, "SetHandler cosell-status", "</Location>", "</VirtualHost>"]
    second.server.state, second.server.database = server.state, server.database
    first.start().ready()
    second.ready()
    return first, second


def arrives(world, deadline=20):
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), deadline, "the opportunity")
    return referral


def test_each_site_has_its_own_deals(sites):
    first, second = sites
    one, other = arrives(first), arrives(second)
    assert first.deal(one)["site"] == "contoso" and second.deal(other)["site"] == "fabrikam"
    assert first.opportunities(other["name"]) == [] and second.opportunities(one["name"]) == []
    assert {row["site"] for row in first.server.sql("SELECT DISTINCT site FROM delivery")} == {"contoso", "fabrikam"}


def test_status_shows_its_own_site(sites):
    first, second = sites
    arrives(first), arrives(second)
    assert [s["site"] for s in first.server.status()["sites"]] == ["contoso"]
    assert [s["site"] for s in second.server.status()["sites"]] == ["fabrikam"]


def test_signature_of_another_site_is_not_good(sites):
    """The certificate's address is configured per site."""
    from harness import Event
    first, second = sites
    referral = first.refer()
    assert second.send(Event("referral-updated", referral["id"]), cert_url=first.cert_url).status == 401


def test_slow_upstream_of_one_site_never_holds_the_other(sites):
    first, second = sites
    fault = first.partner.fault(path="/v1.0/", fault="hold")
    try:
        for _ in range(8):
            first.notify(first.refer())
        wait_for(first.partner.held, 10, "the first site to be held")
        for _ in range(5):
            arrives(second, 5)
    finally:
        first.partner.remove_faults(fault)
    wait_for(lambda: not first.outstanding("state = 0"), 30, "the first site to go on")


def test_suspended_site_leaves_the_other_alone(sites):
    first, second = sites
    first.server.log.announce("CS2003")
    first.crm.lock_out(True)
    try:
        first.notify(first.refer())
        wait_for(lambda: first.server.sql("SELECT * FROM suspended WHERE site = 'contoso'"), 15, "the first site to be suspended")
        arrives(second)
        assert not first.server.sql("SELECT * FROM suspended WHERE site = 'fabrikam'")
    finally:
        first.crm.lock_out(False)

    def resumed():
        if first.server.sql("SELECT * FROM suspended"):
            first.server.clock(advance=120)
            return False
        return not first.outstanding("state = 0")
    wait_for(resumed, 30, "the first site to resume", every=1.2)
    first.server.clock(offset=0)


def test_site_no_longer_configured_keeps_its_work(sites):
    first, second = sites
    server = first.server
    tail = list(server.tail)
    second.partner.fault(path="/v1.0/", fault="hold")
    referral = second.refer()
    second.notify(referral)
    wait_for(second.partner.held, 10, "a call in progress")
    del server.tail[:]
    server.configure()
    server.graceful()
    second.partner.remove_faults()
    arrives(first)
    assert second.work(referral), "work of a site that is away is kept"
    assert second.record(referral) is None
    server.tail[:] = tail
    server.configure()
    server.graceful()
    wait_for(lambda: second.record(referral), 20, "the opportunity")
