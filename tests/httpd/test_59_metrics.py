"""cosell-metrics: Prometheus' text format, from shared memory alone."""

import json
import os
import re

import pytest

from harness import wait_for
from harness.storm import post

CRMS = ("dynamics365", "salesforce")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*)\})? (\S+)\Z')
LOCATION = ['<Location "/metrics">', "  SetHandler cosell-metrics", "</Location>"]


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("metrics")
    world.server.locations += LOCATION
    return world.start().ready()


def lint(text):
    """Every sample as {name: {labels: value}}, after proving that the text is what the format says it must be."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    helped, typed, samples, family = set(), {}, {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in helped and words.strip() == words and words, line
            assert not re.search(r"\\[^\\n]", words), line
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped and name not in typed and kind in ("counter", "gauge", "histogram"), line
            typed[name] = kind
            family = name
        else:
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match.groups()
            allowed = [family + end for end in ("_bucket", "_sum", "_count")] if typed[family] == "histogram" else [family]
            assert name in allowed, "%s stands in the group of %s" % (name, family)
            assert float(value) >= 0 and labels not in samples.setdefault(name, {}), line
            samples[name][labels] = float(value)
    assert helped == set(typed)
    assert all(name.startswith("cosell_") for name in typed)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in typed.items())
    return samples


def histogram(samples, direction):
    buckets = {}
    for labels, value in samples["cosell_lag_seconds_bucket"].items():
        parts = dict(re.findall(r'([a-z]+)="([^"]*)"', labels))
        if parts["direction"] == direction:
            buckets[parts["le"]] = value
    return buckets, samples["cosell_lag_seconds_sum"]['direction="%s"' % direction], samples["cosell_lag_seconds_count"]['direction="%s"' % direction]


def metrics(world):
    reply = world.server.get("/metrics")
    assert reply.status == 200
    return lint(reply.body.decode())


def test_format(world):
    samples = metrics(world)
    counters = world.server.status()["counters"]
    assert {"cosell_%s_total" % name for name in counters} <= set(samples)
    assert samples["cosell_build_info"] == {'version="%s"' % world.server.status()["version"]: 1}
    for direction in ("to_crm", "to_partner_center"):
        buckets, total, count = histogram(samples, direction)
        bounds = [float(le) for le in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf") and "+Inf" in buckets
        assert list(buckets.values()) == sorted(buckets.values()) and buckets["+Inf"] == count
        assert total <= count * 1e9


def test_headers(world):
    reply = world.server.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading(world, method):
    reply = post(world.server.base + "/metrics", b"x", method=method)
    assert reply.status == 405 and reply.headers["allow"] == "GET, HEAD"


def test_a_change_is_counted_with_its_lag(world):
    before = metrics(world)
    referral = world.refer()
    world.looked(referral)
    assert world.record(referral)
    after = wait_for(lambda: metrics(world), 10)
    assert after["cosell_created_total"][None] == before["cosell_created_total"][None] + 1
    buckets, total, count = histogram(after, "to_crm")
    assert count >= histogram(before, "to_crm")[2] + 1 and total > 0 and buckets["3600"] == count
    lag = world.server.status()["lag"]["to_crm"]
    assert lag["count"] == count and lag["buckets"]["+Inf"] == count and abs(lag["sum"] - total) < 1e-3
    assert list(lag["buckets"]) == list(histogram(after, "to_crm")[0])


def test_the_store_is_not_asked(new_world):
    """A page that needs the store says 503 then; numbers are told all the same."""
    world = new_world("metrics-alone")
    world.server.locations += LOCATION
    world.start().ready()
    world.server.log.announce("CS2", "CS1", "cosell")
    os.rename(world.server.database, world.server.database + ".away")
    try:
        assert world.server.get("/cosell-status").status == 503
        assert metrics(world)["cosell_accepted_total"][None] >= 1
    finally:
        os.rename(world.server.database + ".away", world.server.database)


def test_status_shows_polls(world):
    polls = world.server.status()["sites"][0]["polls"]
    names = [poll["name"] for poll in polls]
    assert names[0] == "referrals" and names[-1] == "deals" and len(set(names)) == len(names) > 3, names
    assert any(name.lower().endswith("/opportunity") for name in names)
    for poll in polls:
        assert set(poll) == {"kind", "name", "every", "last", "next", "attempts", "problem", "detail"}
        assert poll["next"] and poll["every"] > 0 and poll["problem"] is None, poll
    assert json.dumps(world.server.status()["sites"][0]["work"]).count('"poll"') == 0
