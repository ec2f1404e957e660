#!/usr/bin/python3
"""The benchmark: prints a table and writes build/bench.json.

accept_ratio      callbacks per second, with CosellWorkers 0, as a ratio to a bare handler that reads the body and answers 200; median of 7 pairs
accept_p99_ratio  the same for the 99th percentile of latency
syncs_per_accept  completed syncs of the write-ahead log per callback answered 200, at the same load
idle_host_ratio   static files per second with the module loaded and idle, as a ratio to a server without it; median of 10 pairs
idle_same_spread  how far that can be trusted: the distance of the quartiles of the same ratio between two servers without the module
drain_ratio       a backlog of unknown referrals: deals per second as a ratio to a bare libcurl loop making the same requests
calls_per_deal    requests per deal made, tokens not counted
latency_*         seconds from an edit on one side to the answer of the request that brings it to the other, notified, the simulators' own time
                  included; median and 99th percentile of 200 edits each way, one after the other
pages_*_ratio     what a reader behind pages and verbs takes with 100,000 deals and 1,000,000 journal rows, as a ratio to 1,000 and 10,000;
                  medians of 51 calls in turns. pages_*_ms: milliseconds of a call in the large store
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "httpd"))

import requests

from harness import BUILD, Event, Pki, Server, World, wait_for
from harness.both import connect, hear
from harness.latency import Changes, quantile
from harness.paths import curl_loop
from harness.world import CLIENT_ID, CLIENT_SECRET, CRM_CLIENT_ID, CRM_CLIENT_SECRET, REFRESH_TOKEN

CONNECTIONS = 64
# The idle comparison. A shared machine changes its speed from second to second, by far more than what is to be seen: with turns of a second
# two servers without the module differed by 10 to 20 % (distance of the quartiles), with turns of 20 ms by 2 to 3 %, the rest being where
# a process happens to lie in memory. So the turns are short, and each pair is the mean of several rounds with new processes.
TURN = 0.02
ROUNDS = 5
THREADS = 2
# One child: what is measured is the handlers, not how two children share one disk. Twice as many threads as connections.
MPM = ["StartServers 1", "ServerLimit 1", "ThreadLimit 128", "ThreadsPerChild 128", "MinSpareThreads 1", "MaxSpareThreads 128",
       "MaxRequestWorkers 128", "AsyncRequestWorkerFactor 4"]
PARTS = ("accept", "syncs", "idle", "drain", "latency", "pages")
GOALS = {"accept_ratio": (">=", 0.45), "accept_p99_ratio": ("<=", 2.0), "idle_host_ratio": (">=", 0.99),
         "latency_to_partner_center_p99": ("<=", 1.0), "latency_to_crm_p99": ("<=", 1.0), "pages_slowest_ms": ("<=", 50)}


def say(text):
    print(text, flush=True)


def events_file(world, path, distinct, referrals):
    """Signed events, one per line, made once."""
    identities = ["%08x-0000-4000-8000-%012x" % (n, n) for n in range(referrals)]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(distinct):
            event = Event("referral-updated", identities[number % referrals])
            file.write("%s %s %s\n" % (world.pki.sign(event.body), world.cert_url, event.body.decode()))


def wrk_events(server, path, events, quota):
    env = {**os.environ, "EVENTS": events, "QUOTA": str(quota // THREADS), "PATH_": path, "THREADS": str(THREADS)}
    done = subprocess.run(["wrk", "-t%d" % THREADS, "-c%d" % CONNECTIONS, "-d120s", "--timeout", "10s", "--latency", "-s",
                           os.path.join(HERE, "events.lua"), server.base], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    found = re.search(r"^BENCH (.*)$", done.stdout, re.M)
    if not found:
        raise RuntimeError("wrk said:\n" + done.stdout)
    result = json.loads(found.group(1))
    result["rate"] = (result["good"] + result["bad"]) / result["seconds"]
    if result["bad"] or result["errors"]:
        raise RuntimeError("%d answers were not 200, %d connections had errors at %s" % (result["bad"], result["errors"], path))
    return result


def cpu_of(choose):
    """wrk and the servers on a processor each, where there are two: what is compared is the server's work."""
    cpus = os.sched_getaffinity(0)
    return {choose(cpus)} if len(cpus) > 1 else cpus


class Client:
    """One wrk that runs only in its turns, for as long as they are counted."""

    def __init__(self, server):
        self.active = 0.0
        with self:
            self.process = subprocess.Popen(["wrk", "-t1", "-c32", "-d600s", "--timeout", "60s", server.base + "/static.txt"],
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                                            preexec_fn=lambda: os.sched_setaffinity(0, cpu_of(max)))
            time.sleep(0.1)

    def __enter__(self):
        self.since = time.perf_counter()
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGSTOP)
        self.active += time.perf_counter() - self.since

    def end(self):
        """Requests per second of its turns."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGCONT)
        time.sleep(TURN)
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=10)[0]
        self.active += time.perf_counter() - began
        found = re.search(r"(\d+) requests in", said)
        if not found or "Non-2xx" in said:
            raise RuntimeError("wrk said:\n" + said)
        return int(found.group(1)) / self.active

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def race(servers, seconds):
    """Static files per second of each server; they take turns of 20 ms until each has had its seconds."""
    clients = []
    try:
        for server in servers:
            clients.append(Client(server))
        for number in range(int(seconds / TURN)):
            start = number % len(clients)
            for client in clients[start:] + clients[:start]:
                with client:
                    time.sleep(TURN)
        return [client.end() for client in clients]
    finally:
        for client in clients:
            client.close()


def pin_processes(server):
    for pid in server.processes():
        for task in os.listdir("/proc/%d/task" % pid):
            try:
                os.sched_setaffinity(int(task), cpu_of(min))
            except ProcessLookupError:
                pass  # a thread that has just ended


def bare_server(name="bare"):
    server = Server(name, module=None, bare=True, mpm_lines=MPM)
    server.tail += pads()
    server.write("htdocs/pad.txt", "pad")
    return server


def unloaded_server(name):
    """What the server with the module is, but for the module: the same containers, the same log level."""
    server = Server(name, module=None, mpm_lines=MPM, log_level="warn")
    for location in ("/partner-center", "/cosell-status"):
        server.site += ['<Location "%s">' % location, "  SetHandler default-handler", "</Location>"]
    return server


def pads():
    return ["LoadModule headers_module %s/mod_headers.so" % subprocess.run(
        ["apxs", "-q", "LIBEXECDIR"], stdout=subprocess.PIPE, universal_newlines=True).stdout.strip(),
            '<Location "/pad.txt">', "  Header always set X-Pad 1", "</Location>"]


def accepting_world(module, name, **options):
    world = World(name, module=module, mpm_lines=MPM, log_level="warn", **options)
    world.server.globals_.append("CosellWorkers 0")
    world.server.globals_ += pads()
    world.server.write("htdocs/pad.txt", "pad")
    return world


class Bench:
    def __init__(self, args):
        self.args = args
        self.module = os.environ.get("COSELL_MODULE", os.path.join(BUILD, "mod_cosell.so"))
        self.pki = Pki()
        self.result = {}
        self.detail = {}

    def accept(self):
        args = self.args
        say("accept: %d distinct events over %d referrals, %d connections, %d callbacks per run, %d pairs" %
            (args.events, args.referrals, CONNECTIONS, args.quota, args.pairs))
        world, bare = accepting_world(self.module, "bench", pki=self.pki), bare_server()
        events = os.path.join(BUILD, "bench", "events-%d.txt" % os.getpid())
        try:
            world.start().ready()
            bare.start()
            events_file(world, events, args.events, args.referrals)
            wrk_events(bare, "/bare", events, args.quota // 4)
            wrk_events(world.server, "/partner-center", events, args.quota // 4)
            ratios, p99s, rates, bares = [], [], [], []
            for number in range(args.pairs):
                order = [(bare, "/bare"), (world.server, "/partner-center")]
                before = world.stored()
                runs = {path: wrk_events(server, path, events, args.quota) for server, path in (order if number % 2 else order[::-1])}
                stored = world.stored() - before
                mine, other = runs["/partner-center"], runs["/bare"]
                if stored != mine["good"]:
                    raise RuntimeError("%d callbacks were answered 200 and %d rows stored" % (mine["good"], stored))
                ratios.append(mine["rate"] / other["rate"])
                p99s.append(mine["p99"] / other["p99"])
                rates.append(mine["rate"])
                bares.append(other["rate"])
                say("   %d: %7.0f/s p99 %6.1f ms    bare %7.0f/s p99 %6.1f ms    ratio %.3f" %
                    (number + 1, mine["rate"], mine["p99"] / 1000, other["rate"], other["p99"] / 1000, ratios[-1]))
            self.result["accept_ratio"] = statistics.median(ratios)
            self.result["accept_p99_ratio"] = statistics.median(p99s)
            self.detail["accepts_per_second"] = statistics.median(rates)
            self.detail["bare_per_second"] = statistics.median(bares)
        finally:
            if os.path.exists(events):
                os.unlink(events)
            bare.close()
            world.close()

    def syncs(self):
        world = accepting_world(self.module, "syncs", pki=self.pki, preloads=["record_sync"])
        log, events = world.server.path("tmp/syncs"), world.server.path("tmp/events")
        open(log, "w").close()
        os.chmod(log, 0o666)
        world.server.env["COSELL_SYNC_LOG"] = log
        try:
            world.start().ready()
            events_file(world, events, self.args.events, self.args.referrals)
            wrk_events(world.server, "/partner-center", events, self.args.quota // 4)
            open(log, "w").close()
            run = wrk_events(world.server, "/partner-center", events, self.args.quota)
            with open(log) as file:
                syncs = sum(line.startswith("S ") for line in file)
            self.result["syncs_per_accept"] = syncs / run["good"]
        finally:
            world.close()

    def idle(self):
        """The second server without the module measures the measuring: its ratio is 1, whatever comes out."""
        args = self.args
        say("idle host: %d pairs of %d rounds, %g s per server and round in turns of %d ms" %
            (args.idle_pairs, ROUNDS, args.idle_seconds, TURN * 1000))
        world = World("idle", module=self.module, pki=self.pki, mpm_lines=MPM, log_level="warn")
        others = [unloaded_server("without"), unloaded_server("again")]
        try:
            world.start().ready()
            for server in others:
                server.start()
            servers = [world.server, *others]
            ratios, same = [], []
            for number in range(args.idle_pairs):
                rates = [0.0, 0.0, 0.0]
                for turn in range(number * ROUNDS, (number + 1) * ROUNDS):
                    # Who is started first has the longest to settle, and the first turn: everybody in turn.
                    order = [(turn + i) % len(servers) for i in range(len(servers))]
                    for server in (servers[i] for i in order):
                        server.stop()
                        server.start()
                    world.ready()  # its runner has done what it does at a start: idle is what comes after
                    for server in servers:
                        pin_processes(server)
                    for i, rate in zip(order, race([servers[i] for i in order], args.idle_seconds)):
                        rates[i] += rate
                mine, other, again = (rate / ROUNDS for rate in rates)
                ratios.append(mine / other)
                same.append(again / other)
                say("   %2d: %8.0f/s    without %8.0f/s    ratio %.3f    without, again %.3f" %
                    (number + 1, mine, other, ratios[-1], same[-1]))
            quartiles = statistics.quantiles(same, n=4)
            self.result["idle_host_ratio"] = statistics.median(ratios)
            self.result["idle_host_lower_quartile"] = statistics.quantiles(ratios, n=4)[0]
            self.detail["idle_same_ratio"] = statistics.median(same)
            self.detail["idle_same_spread"] = quartiles[2] - quartiles[0]
        finally:
            for server in others:
                server.close()
            world.close()

    def drain(self):
        """The module's backlog first; its requests, replayed by the bare loop against fresh simulators of the same content."""
        deals = self.args.deals
        say("drain: a backlog of %d unknown referrals, %d rounds" % (deals, self.args.rounds))
        ratios, calls, rates = [], [], []
        for number in range(self.args.rounds):
            documents = [self.document(n) for n in range(deals)]
            mine, recorded, addresses = self.drain_module(documents)
            other = self.drain_loop(documents, recorded, addresses)
            ratios.append(other / mine)
            rates.append(deals / mine)
            calls.append(len(recorded) / deals)
            say("   %d: %6.0f deals/s    bare loop %6.0f deals/s    ratio %.3f    %.2f calls per deal" %
                (number + 1, deals / mine, deals / other, ratios[-1], calls[-1]))
        self.result["drain_ratio"] = statistics.median(ratios)
        self.result["calls_per_deal"] = statistics.median(calls)
        self.detail["deals_per_second"] = statistics.median(rates)

    @staticmethod
    def document(number):
        return {"id": "%08x-0000-4000-8000-%012x" % (number, number), "engagementId": "%08x-0000-4000-9000-%012x" % (number, number),
                "name": "Bench deal %06d" % number, "direction": "Incoming", "status": "Active", "substatus": "Accepted", "type": "Shared",
                "qualification": "SalesQualified",
                "customerProfile": {"name": "Bench customer %06d" % number,
                                    "address": {"addressLine1": "1 Main Street", "city": "Redmond", "state": "WA", "postalCode": "98052",
                                                "country": "US"}},
                "details": {"notes": "Notes", "dealValue": 1000 + number, "currency": "USD", "closingDateTime": "2027-03-31T12:00:00Z"}}

    def drain_module(self, documents):
        world = World("drain", module=self.module, pki=self.pki, mpm_lines=MPM, log_level="warn")
        try:
            made = world.partner.post("bulk/referrals", documents)
            world.server.globals_.append("CosellWorkers 0")
            world.start().ready()
            for referral in made:
                world.notify(referral, "referral-created", changed=referral["updatedDateTime"])
            world.server.globals_.remove("CosellWorkers 0")
            world.server.stop()
            world.partner.delete("requests")
            world.crm.delete("requests")
            world.server.start()
            wait_for(lambda: world.outstanding() == 0, 300, "the backlog to be drained", every=0.05)
            recorded = []
            for group, simulator in enumerate((world.partner, world.crm)):
                recorded += [(r["t"] - r["ms"] / 1000, group, r) for r in simulator.requests() if "/oauth2/" not in r["path"]
                             and "/cert/" not in r["path"]]
            recorded.sort(key=lambda item: item[0])
            seconds = max(item[2]["t"] for item in recorded) - recorded[0][0]
            rows = sum(r["name"].startswith("Bench deal") for r in world.crm.rows("opportunities"))
            if rows != len(documents):
                raise RuntimeError("%d opportunities were made for %d referrals" % (rows, len(documents)))
            return seconds, recorded, (world.partner.base, world.crm.base)
        finally:
            world.close()

    def drain_loop(self, documents, recorded, addresses):
        world = World("loop", module=None, pki=self.pki)
        path = world.server.path("tmp/requests")
        try:
            world.partner.post("bulk/referrals", documents)
            bases = (world.partner.base, world.crm.base)
            tokens = (partner_token(world), crm_token(world))
            with open(path, "w", encoding="utf-8") as file:
                for _, group, r in recorded:
                    url = bases[group] + r["path"].replace(" ", "%20") + ("?" + r["query"] if r["query"] else "")
                    headers = ["Accept: application/json"]
                    if group:
                        headers += ["OData-Version: 4.0", "OData-MaxVersion: 4.0"]
                    if r["body"]:
                        headers += ["Content-Type: application/json", "Prefer: return=representation"]
                        if r["method"] == "PATCH":
                            headers.append("If-None-Match: *" if r["status"] in (201, 204, 412) else "If-Match: *")
                    body = (r["body"] or "").replace(addresses[group], bases[group])
                    file.write("\t".join((str(group), r["method"], url, tokens[group], "\x1f".join(headers), body.replace("\n", " "))) + "\n")
            done = subprocess.run([curl_loop(), path, "2", "8"], stdout=subprocess.PIPE, universal_newlines=True, check=True)
            answer = json.loads(done.stdout)
            if answer["failed"] or answer["5xx"] or answer["2xx"] < 0.95 * answer["requests"]:
                raise RuntimeError("the bare loop's requests were not answered as the module's were: %s" % answer)
            return answer["seconds"]
        finally:
            world.close()

    def latency(self):
        world = World("latency", module=self.module, pki=self.pki, mpm_lines=MPM, log_level="warn")
        try:
            hear(world).start().ready()
            connect(world)
            world.partner.post("options", {"EventDelay": False})  # Partner Center's own half second
            changes = Changes(world)
            say("latency: %d deals, edits one after the other" % len(changes.records))
            for way, took in (("to_partner_center", changes.in_crm()), ("to_crm", changes.at_partner_center())):
                self.result["latency_%s_p99" % way] = quantile(took, 0.99)
                self.detail["latency_%s_median" % way] = quantile(took, 0.5)
                say("   %-18s median %6.3f s  p99 %6.3f s" % (way, quantile(took, 0.5), quantile(took, 0.99)))
        finally:
            world.close()

    def pages(self):
        args = self.args
        with tempfile.TemporaryDirectory(prefix="pages-", dir=BUILD) as path:
            say("pages: a store of %d deals and %d journal rows" % (args.page_deals, args.page_deals * args.page_lines))
            done = subprocess.run([os.path.join(BUILD, "bench", "bench_pages"), path, "1000", str(args.page_deals), str(args.page_lines)],
                                  check=True, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            name, small, large = line.split()
            self.result["pages_%s_ratio" % name] = float(large) / float(small)
            self.detail["pages_%s_ms" % name] = float(large)
        self.detail["pages_slowest_ms"] = max(value for name, value in self.detail.items() if name.startswith("pages_"))

    def run(self):
        started = time.monotonic()
        for part in self.args.parts:
            getattr(self, part)()
        say("")
        good = True
        for name, value in {**self.result, **self.detail}.items():
            goal = GOALS.get(name)
            if name == "idle_host_lower_quartile":
                goal = (">=", 0.97)
            verdict = ""
            if goal:
                met = value >= goal[1] if goal[0] == ">=" else value <= goal[1]
                good = good and met
                verdict = "%s %g  %s" % (goal[0], goal[1], "met" if met else "NOT MET")
            say("   %-30s %10.3f   %s" % (name, value, verdict))
        say("   %.0f s" % (time.monotonic() - started))
        path = os.path.join(BUILD, "bench.json")
        document = {}
        if len(self.args.parts) < len(PARTS) and os.path.exists(path):
            with open(path) as file:
                document = json.load(file)
        document.update({name: round(value, 4) for name, value in {**self.result, **self.detail}.items()})
        with open(path, "w") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        say("   written: %s" % os.path.relpath(path))
        return good


def token_of(reply):
    reply.raise_for_status()
    return reply.json()["access_token"]


def partner_token(world):
    form = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "resource": "https://api.partner.microsoft.com"}
    return token_of(requests.post(world.partner.info["token"], data=form))


def crm_token(world):
    form = {"grant_type": "client_credentials", "client_id": CRM_CLIENT_ID, "client_secret": CRM_CLIENT_SECRET,
            "scope": world.crm.base + "/.default"}
    return token_of(requests.post(world.crm.info["token"], data=form))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--events", type=int, default=10000)
    parser.add_argument("--referrals", type=int, default=1000)
    # 64 connections begin at once: their first answers must not be most of the slowest 1 %.
    parser.add_argument("--quota", type=int, default=40000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--idle-pairs", type=int, default=10)
    parser.add_argument("--idle-seconds", type=float, default=1)
    parser.add_argument("--deals", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page-deals", type=int, default=100000)
    parser.add_argument("--page-lines", type=int, default=10)
    args = parser.parse_args()
    return 0 if Bench(args).run() else 1


if __name__ == "__main__":
    sys.exit(main())
