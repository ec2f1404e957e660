"""Fixtures of the tests with a real httpd."""

import os
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import pytest

from harness import Pki, Server, World
from harness.exceptions import reason


@pytest.fixture(scope="session")
def pki():
    return Pki()


def pytest_generate_tests(metafunc):
    """A file with CRMS = (...) is run for each of these CRMs; the others know Dynamics alone, or no CRM at all."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", getattr(metafunc.module, "CRMS", ("dynamics365",)), scope="module")


def kind_of(item):
    return (getattr(item, "callspec", None) and item.callspec.params.get("kind")) or ""


def thin_out(config, items):
    """A file with THIN = {"salesforce": 3} runs every third of its tests for that CRM, the same each time; all of them with EVERY=1."""
    left_out = []
    for item in items:
        share = getattr(item.module, "THIN", {}).get(kind_of(item), 1)
        if share > 1 and not os.environ.get("EVERY") and zlib.crc32(item.nodeid.encode()) % share:
            left_out.append(item)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """A file's tests share a server, one for each CRM: these may run side by side, and one after the other a CRM's come together.

    pytest's own order changes from CRM to CRM where a test has parameters of its own, which would start a server each time.
    """
    thin_out(config, items)
    files, kinds, ranks = {}, {}, {}  # by id(): the hash of an item changes with its name, which xdist adds the group to
    for place, item in enumerate(items):
        file, kind = item.nodeid.split("::")[0], kind_of(item)
        files.setdefault(file, len(files))
        # Files with LONG, about how many seconds they take, begin first, the longest before all, or the end would wait for them; the tests of each fixture in SPLIT are a server's of their own.
        part = next((name for name in getattr(item.module, "SPLIT", ()) if name in item.fixturenames), "")
        if getattr(item.module, "PARTS", 1) > 1:  # so many servers share the tests among them
            part += " %d" % (zlib.crc32(item.nodeid.encode()) % item.module.PARTS)
        ranks[id(item)] = -getattr(item.module, "LONG", 0), files[file], kinds.setdefault((file, kind, part), len(kinds)), place
        why = reason(item, kind)
        if why:
            item.add_marker(pytest.mark.skip(reason="salesforce: " + why))
        item.add_marker(pytest.mark.xdist_group("%s %s %s" % (file, kind, part)))
    yield
    items.sort(key=lambda item: ranks[id(item)])


@pytest.fixture(scope="module")
def world_of(pki, request, kind):
    """world_of(name, **options): worlds that live as long as the test file."""
    made = []

    def make(name, **options):
        world = World(name if kind == "dynamics365" else name + "-sf", pki=pki, **{"kind": kind, **options})
        made.append(world)
        return world

    yield make
    for world in reversed(made):
        world.close()


@pytest.fixture
def new_world(pki, kind):
    """As world_of, for one test."""
    made = []

    def make(name, **options):
        world = World(name if kind == "dynamics365" else name + "-sf", pki=pki, **{"kind": kind, **options})
        made.append(world)
        return world

    yield make
    for world in reversed(made):
        if world.server.processes():
            world.server.stop()
        world.server.log.check()
        world.close()


@pytest.fixture(autouse=True)
def oracle():
    """Whatever a server says at warn or above, and the test did not announce, fails the test."""
    for server in Server.alive:
        server.log.begin()
    yield
    for server in Server.alive:
        server.sane()
        server.log.check()
