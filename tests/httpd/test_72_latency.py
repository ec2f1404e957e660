"""How long a change takes to the other side: the order of magnitude only, figures are the benchmark's (`make bench`, part latency)."""

import re

import pytest

from harness import wait_for
from harness.both import connect, hear
from harness.latency import CHANGES, Changes, quantile

CRMS = ("dynamics365", "salesforce")
METRICS = "/cosell-metrics"


def metrics(world):
    """name{labels} -> value"""
    text = world.server.get(METRICS).body.decode()
    return {key: float(value) for key, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([-+.0-9eE]+|\+Inf)$", text, re.M)}


def lag(world, direction):
    """Observations of a direction, as both pages have them."""
    found = {key: value for key, value in metrics(world).items() if "lag" in key and direction in key}
    buckets = [(re.search(r'le="([^"]+)"', key).group(1), value) for key, value in found.items() if "_bucket" in key]
    counts = [value for key, value in found.items() if "_count" in key]
    assert len(counts) == 1 and buckets[0][0] == "0.25", sorted(found)
    assert dict(buckets)["+Inf"] == counts[0] and sorted(v for _, v in buckets) == [v for _, v in sorted(buckets, key=lambda b: float(b[0]))]
    return counts[0], {float(b): v for b, v in buckets}


@pytest.fixture
def world(new_world):
    def make(name, heard, **options):
        world = new_world(name, **options)
        world.server.locations += ['<Location "%s">' % METRICS, "  SetHandler cosell-metrics", "</Location>"]
        hear(world).start().ready()
        if heard:
            connect(world)
        world.partner.post("options", {"EventDelay": False})  # that is Partner Center's own time
        return world
    return make


def test_notified(world):
    world = world("notified", True)
    changes = Changes(world)
    before = {d: lag(world, d)[0] for d in ("to_crm", "to_partner_center")}
    for direction, took in (("to_partner_center", changes.in_crm()), ("to_crm", changes.at_partner_center())):
        print("%s: median %.3f s, p99 %.3f s of %d" % (direction, quantile(took, 0.5), quantile(took, 0.99), len(took)))
        assert len(took) == CHANGES
        # A second and what the simulators take is the promise; ten times that allows for a machine that is busy with other tests.
        assert quantile(took, 0.99) < 10 and quantile(took, 0.5) < 5
        count, buckets = lag(world, direction)
        assert count - before[direction] >= CHANGES, "each change is counted"
        assert buckets[60.0] == count, "the histogram says the same"
    document = world.server.status()
    text = str(document.get("lag") or [s.get("lag") for s in document["sites"]])
    assert "to_crm" in text and "to_partner_center" in text


def test_by_polling_alone(world):
    """No side sends anything: all arrives with the poll that is due within five minutes."""
    world = world("polled", False)
    changes = Changes(world, notify=True)
    since = world.server.status()["counters"]["polled"]
    typed = changes.all_at_once()
    offset = 0
    # One poll interval, in steps: what is not there after it was not found by the poll that was due.
    for _ in range(11):
        offset += 30
        for simulator in (world.partner, world.crm):
            simulator.post("clock", {"offset": offset})
        world.server.clock(offset=offset)
        world.settled(60)
    wait_for(lambda: changes.missing(typed) == [], 30, "all changes to arrive: %s" % changes.missing(typed)[:3])
    assert world.server.status()["counters"]["polled"] > since
