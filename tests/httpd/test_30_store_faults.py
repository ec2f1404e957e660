"""A store that fails is 503 and nothing else: the guest server goes on, and so does the site once the cause is gone."""

import os
import shutil
import threading
import time
import uuid

import pytest

from harness import Event, wait_for

CRMS = ("dynamics365", "salesforce")
ONE_CHILD = ["StartServers 1", "ServerLimit 1", "ThreadLimit 32", "ThreadsPerChild 32", "MinSpareThreads 1", "MaxSpareThreads 32",
             "MaxRequestWorkers 32"]
PATIENCE = 2.0
FAULT_SIZE = 64


class Disk:
    """The fault switched in all processes of the server."""

    def __init__(self, world):
        self.path = world.server.path("tmp/fault")
        self.set("")
        os.chmod(self.path, 0o644)
        world.server.env.update({"COSELL_FAULT_FILE": self.path, "COSELL_FAULT_DIR": world.server.state})

    def set(self, fault):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(fault.encode().ljust(FAULT_SIZE, b"\0"))


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("faults", mpm_lines=ONE_CHILD, preloads=["fault_io"])
    world.disk = Disk(world)
    return world.start().ready()


def event():
    return Event("referral-updated", uuid.uuid4())


def changes(world):
    """Lines in which the committer says that its state changed."""
    return world.server.log.matching(r"CS220[1235]:")


def refused(world):
    answer = world.send(event())
    assert answer.status == 503, answer.status
    assert answer.seconds < PATIENCE + 0.5, answer.seconds
    assert answer.headers.get("retry-after", "").isdigit()


def goes_bad_and_good_again(world, cause, cure, again=8.0):
    world.server.log.announce(r"CS220[0-9]:", r"cosell:(warn|error).* runner:", r"CS3\d\d\d:", r"CS1013")
    wait_for(lambda: world.send(event()).status == 200, 10, "the store to be good before the test")
    known = len(changes(world))
    before = world.stored()
    children = world.server.children()
    cause()
    try:
        for _ in range(4):
            refused(world)
            started = time.monotonic()
            assert world.server.static_served(1.0)
            assert time.monotonic() - started < 0.5
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(world.send(event()))) for _ in range(12)]
        for thread in threads:
            thread.start()
        assert world.server.static_served(1.0)
        for thread in threads:
            thread.join()
        assert {a.status for a in answers} == {503} and max(a.seconds for a in answers) < PATIENCE + 0.7
        bad = changes(world)[known:]
        assert len(bad) == 1 and "CS2201" not in bad[0], bad
    finally:
        cure()
    accepted = event()
    wait_for(lambda: world.send(accepted).status == 200, again, "200 without a restart")
    assert world.server.children() == children
    lines = changes(world)[known:]
    assert len(lines) == 2 and "CS2201" in lines[1], lines
    wait_for(lambda: world.stored() > before, 5, "what was accepted to be in the store")
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), 30, "work to go on")


@pytest.mark.parametrize("fault", ["ENOSPC", "EROFS", "EIO", "HANG"])
def test_disk(world, fault):
    goes_bad_and_good_again(world, lambda: world.disk.set(fault), lambda: world.disk.set(""))


def test_hanging_disk_takes_a_quarter_of_the_threads(world):
    """While a sync hangs, at most a quarter of the child's threads wait; all others are told at once."""
    world.server.log.announce(r"CS220[0-9]:", r"runner:", r"CS3\d\d\d:")
    world.disk.set("HANG")
    try:
        answers = []

        def send():
            answers.append(world.send(event()))
        first = threading.Thread(target=send)
        first.start()
        wait_for(lambda: world.server.status()["committer"]["troubled"], 5, "the commit in progress to be slow")
        threads = [threading.Thread(target=send) for _ in range(28)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            assert world.server.static_served(0.5)
        for thread in threads + [first]:
            thread.join()
        assert {a.status for a in answers} == {503}
        waited = [a for a in answers if a.seconds > 0.5]
        assert len(waited) <= 32 // 4 + 1, "%d requests waited" % len(waited)
    finally:
        world.disk.set("")
    wait_for(lambda: world.send(event()).status == 200, 8, "200 again")


def database_files(world):
    return [name for name in os.listdir(world.server.state) if name.startswith("cosell.db")]


class Away:
    """The database's files, or the whole directory, moved aside, perhaps with something else put in their place."""

    def __init__(self, world, whole=False, instead=None):
        self.world, self.whole, self.instead = world, whole, instead
        self.aside = world.server.path("tmp/aside")

    def go(self):
        state = self.world.server.state
        if self.whole:
            os.rename(state, self.aside)
            return
        os.mkdir(self.aside)
        for name in database_files(self.world):
            os.rename(os.path.join(state, name), os.path.join(self.aside, name))
        if self.instead is not None:
            stat = os.stat(os.path.join(self.aside, "cosell.db"))
            with open(os.path.join(state, "cosell.db"), "wb") as file:
                file.write(self.instead(os.path.join(self.aside, "cosell.db")))
            os.chown(os.path.join(state, "cosell.db"), stat.st_uid, stat.st_gid)

    def back(self):
        state = self.world.server.state
        if self.whole:
            if os.path.exists(state):
                shutil.rmtree(state)
            os.rename(self.aside, state)
            return
        for name in database_files(self.world):
            os.unlink(os.path.join(state, name))
        for name in os.listdir(self.aside):
            os.rename(os.path.join(self.aside, name), os.path.join(state, name))
        os.rmdir(self.aside)


def garbage(good):
    return b"this is not a database\n" * 400


def cut_short(good):
    with open(good, "rb") as file:
        return file.read(os.path.getsize(good) // 3)


def scribbled(good):
    with open(good, "rb") as file:
        data = bytearray(file.read())
    data[4096:] = os.urandom(len(data) - 4096)
    return bytes(data)


def test_missing_directory(world):
    away = Away(world, whole=True)
    goes_bad_and_good_again(world, away.go, away.back)


def test_missing_file(world):
    away = Away(world)
    goes_bad_and_good_again(world, away.go, away.back)
    assert not os.path.exists(os.path.join(world.server.path("tmp"), "aside"))


@pytest.mark.parametrize("instead", [garbage, cut_short, scribbled, lambda good: b""], ids=["garbage", "short", "scribbled", "empty"])
def test_corrupt_file(world, instead):
    away = Away(world, instead=instead)
    goes_bad_and_good_again(world, away.go, away.back)


def test_vanished_database_is_never_replaced_by_an_empty_one(new_world):
    """Not by a restart either."""
    world = new_world("vanished", mpm_lines=ONE_CHILD)
    world.start().ready()
    world.server.stop()
    away = Away(world)
    away.go()
    world.server.log.announce("CS2203", r"CS220", r"runner", r"CS3\d\d\d", "CS1013")
    world.server.start()
    refused_by = world.send(event())
    assert refused_by.status == 503
    assert not os.path.exists(world.server.database)
    away.back()
    wait_for(lambda: world.send(event()).status == 200, 10, "200 again")


def test_start_without_a_directory_above(new_world):
    """A machine error at start never stops httpd from serving everything else."""
    world = new_world("nowhere")
    blocker = world.server.write("conf/file", "")
    world.server.globals_[:] = ['CosellStateDir "%s/state"' % blocker]
    world.server.log.announce("cosell:(error|warn)")
    world.server.start()
    assert world.server.static_served()
    answer = world.send(event())
    assert answer.status == 503, answer


def test_each_200_is_synced(new_world):
    """A completed sync of the write-ahead log lies between each callback and its 200, under concurrency."""
    import sys
    from harness import REPO, storm
    sys.path.insert(0, os.path.join(REPO, "tests", "crash"))
    import crash
    world = new_world("synced", preloads=["record_sync"])
    recording = world.server.path("tmp/syncs")
    open(recording, "w").close()
    os.chmod(recording, 0o666)
    world.server.env["COSELL_SYNC_LOG"] = recording
    world.start().ready()
    results = storm(world.server.webhook, [(n, world.raw(event())) for n in range(400)], 24)
    assert {r.status for r in results} == {200}
    assert crash.check_syncs(recording, 400) == []


def test_recorder_would_notice():
    """The check above can fail: an answer without a sync between is found."""
    import sys
    import tempfile
    from harness import REPO
    sys.path.insert(0, os.path.join(REPO, "tests", "crash"))
    import crash
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write("S 7 100 200\nA 7 3 50 250\nA 7 4 150 300\nA 8 3 50 250\n")
        file.flush()
        assert len(crash.check_syncs(file.name, 3)) == 1
