"""Start, accept, reload, stop with each MPM and with -X; the runner's life and death."""

import os
import pwd
import re
import signal
import uuid

import pytest

from harness import Event, storm, wait_for
from harness.world import CLIENT_SECRET, CRM_CLIENT_SECRET

LONG = 90

CRMS = ("dynamics365", "salesforce")
KILLED = ("exit signal Killed", "AH0005[12]", "CS10[0-9]+:.*runner")


def synchronised(world):
    """A new referral becomes an opportunity."""
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), 20, "the opportunity")


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_life(new_world, mpm):
    world = new_world("life-" + mpm, mpm=mpm)
    world.start().ready()
    server = world.server
    assert server.runner() and server.children()
    synchronised(world)
    first = server.runner()
    server.graceful()
    wait_for(lambda: server.runner() not in (None, first), 10, "a new runner")
    synchronised(world)
    results = storm(server.webhook, [(n, world.raw(Event(referral=uuid.uuid4()))) for n in range(100)], 16)
    assert {r.status for r in results} == {200}
    assert world.stored() >= 102
    seconds = server.stop()
    assert seconds < 3.0, "stopping took %.1f s" % seconds
    assert not server.processes()
    for _ in range(2):
        world.start()
        assert world.send(Event(referral=uuid.uuid4())).status == 200
        server.stop()


def test_single_process(new_world):
    """-X: no fork, the same work."""
    world = new_world("single")
    world.start(single=True).ready()
    assert len(world.server.processes()) == 1
    synchronised(world)
    seconds = world.server.stop()
    assert seconds < 5.0


def test_graceful_stop(new_world):
    world = new_world("graceful-stop")
    world.start().ready()
    synchronised(world)
    status, said = world.server.run("-k", "graceful-stop")
    assert status == 0, said
    wait_for(lambda: not world.server.processes(), 10, "all processes to end")


def test_restart_keeps_what_was_accepted(new_world):
    world = new_world("restart")
    world.server.globals_.append("CosellWorkers 0")
    world.start().ready()
    referrals = [world.refer() for _ in range(5)]
    for referral in referrals:
        world.notify(referral)
    assert world.outstanding() == 5
    world.server.globals_.remove("CosellWorkers 0")
    world.server.configure()
    world.server.graceful()
    for referral in referrals:
        wait_for(lambda: world.record(referral), 20, "the opportunity")


def test_killed_runner_returns(new_world):
    world = new_world("runner")
    world.start().ready()
    world.server.log.announce(*KILLED)
    for _ in range(3):
        before = world.server.runner()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: world.server.runner() not in (None, before), 15, "a new runner")
    synchronised(world)
    assert world.server.status()["counters"]["runner_starts"] >= 4


def test_stopped_runner_returns(new_world):
    """SIGTERM ends it at once, whatever it does."""
    world = new_world("runner-term")
    world.start().ready()
    world.server.log.announce(*KILLED)
    fault = world.partner.fault(path="/v1.0/", fault="hold")
    world.notify(world.refer())
    wait_for(world.partner.held, 10, "a call in progress")
    before = world.server.runner()
    os.kill(before, signal.SIGTERM)
    wait_for(lambda: world.server.runner() not in (None, before), 2.5, "a new runner")
    world.partner.remove_faults(fault)
    synchronised(world)


def test_runner_goes_with_its_parent(new_world):
    world = new_world("orphan")
    world.start().ready()
    world.server.log.announce(*KILLED)
    runner = world.server.runner()
    os.kill(world.server.pid(), signal.SIGKILL)
    wait_for(lambda: runner not in world.server.processes(), 3, "the runner to end")
    world.server.kill_all()
    world.server.log.announce("AH00098", "[Uu]nclean")
    world.server.start()
    synchronised(world)


def test_killed_children_lose_nothing(new_world):
    world = new_world("children")
    world.start().ready()
    world.server.log.announce(*KILLED)
    results = []
    events = iter([(n, world.raw(Event(referral=uuid.uuid4()))) for n in range(1200)])
    killed = []

    def answered(result):
        results.append(result)
        if len(results) in (200, 600):
            pid = world.server.children()[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    storm(world.server.webhook, events, 24, answered=answered)
    good = sum(r.status == 200 for r in results)
    assert killed and good > 600
    wait_for(lambda: world.stored() >= good + 1, 5, "every event answered 200 to be in the store")


def test_runner_does_not_delay_a_reload_or_a_stop(new_world):
    """It exits at once though an upstream holds it."""
    world = new_world("held")
    world.start().ready()
    world.partner.fault(path="/v1.0/", fault="hold")
    world.notify(world.refer())
    wait_for(world.partner.held, 10, "a call in progress")
    before = world.server.runner()
    world.server.graceful(deadline=4)
    wait_for(lambda: world.server.runner() not in (None, before), 3, "a new runner")
    seconds = world.server.stop()
    world.partner.remove_faults()
    assert seconds < 3.0


@pytest.mark.skipif(os.geteuid() != 0, reason="privileges are dropped by root only")
def test_privileges(new_world):
    world = new_world("privileges")
    world.start().ready()
    synchronised(world)
    user = pwd.getpwnam("www-data").pw_uid
    server = world.server
    for pid in server.children() + [server.runner()]:
        with open("/proc/%d/status" % pid) as file:
            assert re.search(r"Uid:\t%d\t%d\t%d\t%d" % (user, user, user, user), file.read())
    for name in os.listdir(server.state):
        assert os.stat(os.path.join(server.state, name)).st_uid in (user,), name


def memory(pid, words):
    """Which of the words are in the process's writable memory?"""
    found = set()
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not match or "[vvar" in line:
                continue
            start, end = int(match.group(1), 16), int(match.group(2), 16)
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except OSError:
                continue
            found |= {word for word in words if word.encode() in data}
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="reads other processes' memory")
def test_children_hold_no_secrets_of_the_apis(new_world):
    world = new_world("memory")
    world.start().ready()
    synchronised(world)
    secrets = {CRM_CLIENT_SECRET, CLIENT_SECRET + "\n", "sandbox-refresh-token"}
    for pid in world.server.children() + [world.server.pid()]:
        assert memory(pid, secrets) == set()


def test_recycled_children(new_world):
    """MaxConnectionsPerChild ends children all the time; nothing is lost and the runner stays."""
    world = new_world("recycled")
    world.server.tail.append("MaxConnectionsPerChild 40")
    world.start().ready()
    runner = world.server.runner()
    results = storm(world.server.webhook, [(n, world.raw(Event(referral=uuid.uuid4()))) for n in range(600)], 16)
    assert {r.status for r in results} == {200}
    assert world.server.runner() == runner
    assert world.stored() == 601


def test_static_files_are_served_whatever_happens_upstream(new_world):
    world = new_world("upstream")
    world.server.log.announce("CS2080")  # twenty looks in vain: what is stopped is said to be
    world.start().ready()
    for simulator in world.own:
        simulator.stop()
    world.own.clear()
    for _ in range(20):
        assert world.send(Event(referral=uuid.uuid4())).status == 200
    assert world.server.static_served(0.5)


def test_second_server_on_the_same_directory(new_world):
    """Only one runner works; the other says so and waits."""
    first = new_world("first")
    second = new_world("second", partner=first.partner, crm=first.crm)
    first.start().ready()
    second.server.globals_[:] = ['CosellStateDir "%s"' % first.server.state]
    second.server.log.announce(".")
    second.server.start()
    assert second.server.static_served()
    referral = first.refer()
    first.notify(referral)
    wait_for(lambda: first.record(referral), 20, "the opportunity")
    assert len(first.opportunities(referral["name"])) == 1
