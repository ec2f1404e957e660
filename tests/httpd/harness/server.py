"""A private httpd: its own ServerRoot under build/httpd/, only the modules it needs, free ports, ended by pid."""

import glob
import grp
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import time
import urllib.parse

from .errorlog import ErrorLog
from .paths import (USER, apxs, bare_module, give_to_server_user, httpd_binary, module_path, preload, private_directory,
                    remove_directory, running_as_root, sanitized, sanitizers)
from .storm import post
from .wait import Timeout, wait_for

MARK = "COSELL_TEST_ROOT"
WEBHOOK = "/partner-center"
STATUS = "/cosell-status"

MPM = {
    "event": ["StartServers 2", "ServerLimit 8", "ThreadLimit 32", "ThreadsPerChild 32", "MinSpareThreads 32",
              "MaxSpareThreads 192", "MaxRequestWorkers 128", "AsyncRequestWorkerFactor 4"],
    "worker": ["StartServers 2", "ServerLimit 8", "ThreadLimit 32", "ThreadsPerChild 32", "MinSpareThreads 32",
               "MaxSpareThreads 192", "MaxRequestWorkers 128"],
    "prefork": ["StartServers 8", "MinSpareServers 4", "MaxSpareServers 24", "ServerLimit 64", "MaxRequestWorkers 48"],
}


class ConfigRefused(Exception):
    """httpd said no to its configuration; str() is what it said."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """One httpd. `globals_` and `site` are lists of directive lines that a test may change before start() or a reload."""

    alive = []  # every server not yet closed: the oracle asks them all

    def __init__(self, name="httpd", mpm="event", module="test", bare=False, env=None, preloads=(), mpm_lines=None,
                 log_level="info cosell:debug", user=None):
        self.name = name
        self.mpm = mpm
        self.module = module_path() if module == "test" else module
        self.bare = bare
        self.root = private_directory(name)
        self.port = free_port()
        self.base = "http://127.0.0.1:%d" % self.port
        self.webhook = self.base + WEBHOOK
        self.state = os.path.join(self.root, "state")
        self.database = os.path.join(self.state, "cosell.db")
        self.pidfile = os.path.join(self.root, "logs", "httpd.pid")
        self.conf = os.path.join(self.root, "conf", "httpd.conf")
        self.env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self.env.pop("LD_PRELOAD", None)
        self.env.update({MARK: self.root, "LANG": "C.UTF-8", "TZ": "UTC"})
        self.env.update(env or {})
        self.preloads = list(preloads)
        self.mpm_lines = list(mpm_lines if mpm_lines is not None else MPM[mpm])
        self.log_level = log_level
        self.user = user
        self.globals_ = ['CosellStateDir "%s"' % self.state] if self.module else []
        self.site = []
        self.locations = []
        self.tail = []
        self.foreground = None
        for directory in ("conf", "conf/secrets", "conf/mapping", "logs", "run", "htdocs", "tmp"):
            os.makedirs(os.path.join(self.root, directory))
        give_to_server_user(os.path.join(self.root, "tmp"))
        self.log = ErrorLog(os.path.join(self.root, "logs", "error_log"))
        self.write("htdocs/static.txt", "static\n")
        self.write("htdocs/index.html", "<html><body>It works</body></html>\n")
        self._clock_file()
        Server.alive.append(self)

    # Files

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def secret(self, name, value):
        """A secret's file, readable by whoever starts httpd; returns the reference for the configuration."""
        return "file:" + self.write("conf/secrets/" + name, value + "\n", 0o600)

    def module_lines(self):
        directory = apxs("LIBEXECDIR")
        static = subprocess.run([httpd_binary(), "-l"], stdout=subprocess.PIPE, universal_newlines=True).stdout
        lines = []
        for name in ("mpm_" + self.mpm, "unixd", "log_config", "authz_core", "authz_host", "mime"):
            if "mod_%s.c" % name not in static:
                lines.append('LoadModule %s_module "%s/mod_%s.so"' % (name, directory, name))
        if self.bare:
            lines.append('LoadModule bare_module "%s"' % bare_module())
        if self.module:
            lines.append('LoadModule cosell_module "%s"' % self.module)
        return lines

    def configuration(self):
        lines = ['ServerRoot "%s"' % self.root, "ServerName 127.0.0.1", "Listen 127.0.0.1:%d" % self.port,
                 'PidFile "%s"' % self.pidfile, 'DefaultRuntimeDir "%s"' % self.path("run"), *self.module_lines()]
        if running_as_root():
            user = self.user or USER
            lines += ["User " + user, "Group " + grp.getgrgid(__import__("pwd").getpwnam(user).pw_gid).gr_name]
        lines += [*self.mpm_lines, "MaxConnectionsPerChild 0", "GracefulShutdownTimeout 5", "Timeout 30", "KeepAlive On",
                  "MaxKeepAliveRequests 0", "KeepAliveTimeout 5", 'ErrorLog "logs/error_log"',
                  "LogLevel " + (self.log_level if self.module else self.log_level.split()[0]), 'TypesConfig "/dev/null"', 'DocumentRoot "%s"' % self.path("htdocs"),
                  '<Directory "/">', "  AllowOverride None", "  Options None", "</Directory>", *self.globals_]
        lines += ["<VirtualHost 127.0.0.1:%d>" % self.port, "  ServerName 127.0.0.1"]
        lines += ["  " + line for line in self.site]
        if self.module:
            lines += ['  <Location "%s">' % WEBHOOK, "    SetHandler cosell-webhook", "  </Location>",
                      '  <Location "%s">' % STATUS, "    SetHandler cosell-status", "  </Location>"]
        if self.bare:
            lines += ['  <Location "/bare">', "    SetHandler bare", "  </Location>"]
        lines += ["  " + line for line in self.locations]
        lines += ["</VirtualHost>", *self.tail]
        return "\n".join(lines) + "\n"

    def configure(self):
        self.write("conf/httpd.conf", self.configuration())

    def line_of(self, text):
        """Number of the first configuration line that contains text."""
        with open(self.conf) as file:
            for number, line in enumerate(file, 1):
                if text in line:
                    return number
        raise AssertionError("%r is not in %s" % (text, self.conf))

    # The test clock (mod_cosell/base/time.h)

    def _clock_file(self):
        path = self.path("clock")
        with open(path, "wb") as file:
            file.write(struct.pack("<qqq", 0, 1000, 0))
        os.chmod(path, 0o644)
        self.env["COSELL_TEST_CLOCK"] = path
        self.offset = 0.0

    def clock(self, offset=None, advance=None, rate=1.0):
        """Sets the module's clock to real time + offset seconds, from there on at `rate`."""
        self.offset = (self.offset if offset is None else offset) + (advance or 0.0)
        with open(self.path("clock"), "r+b") as file:
            file.write(struct.pack("<qqq", int(self.offset * 1e6), int(rate * 1000), int(time.time() * 1e6)))

    # Running

    def _command(self, *arguments):
        return [httpd_binary(), "-d", self.root, "-f", self.conf, *arguments]

    def _environment(self):
        env = dict(self.env)
        libraries = [preload(name) for name in self.preloads]
        if sanitized():
            libraries = sanitizers() + libraries  # the program itself is without
            env["ASAN_OPTIONS"] = "detect_leaks=0:log_path=" + self.path("tmp/sanitizer")
            env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:log_path=" + self.path("tmp/sanitizer")
        if libraries:
            env["LD_PRELOAD"] = ":".join(libraries)
        return env

    def sane(self):
        """Fails with what a sanitizer said; see COSELL_SANITIZED."""
        for name in glob.glob(self.path("tmp/sanitizer.*")):
            with open(name, errors="replace") as file:
                said = file.read()
            os.unlink(name)
            raise AssertionError(said[:20000])

    def run(self, *arguments, deadline=30, user=None):
        """httpd with these arguments to its end: (exit status, what it said)."""
        done = subprocess.run(self._command(*arguments), env=self._environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=deadline, errors="replace",
                              universal_newlines=True, user=user)
        return done.returncode, done.stdout

    def configtest(self):
        return self.run("-t")

    def start(self, single=False, deadline=20):
        """single: `-X`, one process in the foreground."""
        self.configure()
        if os.path.exists(self.pidfile) and not self.processes():
            os.unlink(self.pidfile)  # of a killed one: it may still be there as a zombie, and httpd would take it for running
        if single:
            out = open(self.path("logs/console"), "ab")
            self.foreground = subprocess.Popen(self._command("-X"), env=self._environment(), stdin=subprocess.DEVNULL,
                                               stdout=out, stderr=subprocess.STDOUT)
            out.close()
        else:
            status, said = self.run("-k", "start")
            if status:
                raise ConfigRefused(said + self.log.text()[-4000:])
        try:
            wait_for(self.answers, deadline, "httpd to listen")
        except Timeout as error:
            raise Timeout("%s\n%s" % (error, self.log.text()[-4000:])) from None
        return self

    def answers(self):
        with socket.socket() as sock:
            sock.settimeout(1)
            return self.pid() and sock.connect_ex(("127.0.0.1", self.port)) == 0

    def pid(self):
        """The parent's pid, while it lives."""
        try:
            with open(self.pidfile) as file:
                pid = int(file.read())
            with open("/proc/%d/environ" % pid, "rb") as file:
                return pid if self._mine(file.read()) else None
        except (OSError, ValueError):
            return None

    def _mine(self, environ):
        return (b"%s=%s\0" % (MARK.encode(), self.root.encode())) in environ

    def processes(self):
        """pid -> parent's pid of every process of this server, orphans included."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/environ" % entry, "rb") as file:
                    if not self._mine(file.read()):
                        continue
                with open("/proc/%s/stat" % entry) as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                found[int(entry)] = int(parent)
        return found

    def listening(self, pid):
        """Does the process hold a listening socket?"""
        wanted = set()
        with open("/proc/net/tcp") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == self.port:
                    wanted.add("socket:[%s]" % fields[9])
        try:
            return any(os.readlink(entry.path) in wanted for entry in os.scandir("/proc/%d/fd" % pid))
        except OSError:
            return False

    def runner(self):
        """The runner's pid: the process of this server that gave the listening socket away."""
        main = self.pid()
        for pid, parent in sorted(self.processes().items()):
            if pid != main and (parent == main or main is None) and not self.listening(pid):
                return pid
        return None

    def children(self):
        """The processes that accept requests."""
        main = self.pid()
        return [pid for pid, parent in sorted(self.processes().items()) if pid != main and self.listening(pid)]

    def graceful(self, wait=True, deadline=20):
        """Reload; returns once the new generation answers. ConfigRefused leaves the old one serving."""
        before = set(self.children())
        status, said = self.run("-k", "graceful")
        if status:
            raise ConfigRefused(said)
        if wait:
            wait_for(lambda: self.pid() and set(self.children()) - before, deadline, "a new generation of children")
            wait_for(self.answers, deadline, "httpd to answer after the reload")
        return said

    def connections(self):
        """Open connections of clients, seen from the server."""
        with open("/proc/net/tcp") as file:
            fields = [line.split() for line in file.readlines()[1:]]
        return [f for f in fields if f[3] not in ("0A", "06") and int(f[1].split(":")[1], 16) == self.port]

    def idle(self, deadline=3.0):
        """Until no request thread is busy with a connection. httpd's event MPM (2.4.71) may crash a child that is told to stop while
        another of its threads is just done with one: it closes a socket whose pool is gone."""
        end = time.monotonic() + deadline
        while self.connections() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.02)

    def stop(self, deadline=15, idle=True):
        """SIGTERM to the parent; everything must be gone within the deadline. Returns the seconds it took."""
        if idle:
            self.idle()
        started = time.monotonic()
        pid = self.pid()
        if self.foreground is not None:
            self.foreground.terminate()
            self.foreground.wait(deadline)
            self.foreground = None
        elif pid:
            os.kill(pid, signal.SIGTERM)
        try:
            wait_for(lambda: not self.processes(), deadline, "all processes to end")
        finally:
            left = self.processes()
            self.kill(left)
        return time.monotonic() - started

    def kill(self, pids=None, number=signal.SIGKILL):
        """Only processes of this server, by pid."""
        mine = self.processes()
        for pid in list(mine if pids is None else pids):
            if pid in mine:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass

    def kill_all(self, order=None):
        """kill -9 of every process; returns when all are gone."""
        wait_for(lambda: self.kill(order) or self.kill() or not self.processes(), 15, "killed processes to be gone", 0.01)
        if self.foreground is not None:
            self.foreground.wait(10)
            self.foreground = None

    def close(self, keep=None):
        if self not in Server.alive:
            return
        if self.processes():
            try:
                self.stop()
            except Timeout:
                pass
        Server.alive.remove(self)
        if not (os.environ.get("KEEP") if keep is None else keep):
            remove_directory(self.root)

    # Asking

    def get(self, path, headers=None, timeout=15):
        return post(self.base + path, headers=headers, method="GET", timeout=timeout)

    def status(self, **query):
        """The status document."""
        import json
        path = STATUS + ("?" + urllib.parse.urlencode(query) if query else "")
        reply = self.get(path, {"Accept": "application/json"})
        assert reply.status == 200, "status page answers %d: %s" % (reply.status, reply.body[:500])
        return json.loads(reply.body)

    def static_served(self, deadline=2.0):
        reply = self.get("/static.txt", timeout=deadline)
        return reply.status == 200 and reply.body == b"static\n"

    def sql(self, query, *arguments):
        """Rows of the store as dictionaries, by a connection of its own that only reads."""
        connection = sqlite3.connect("file:%s?mode=ro" % urllib.parse.quote(self.database), uri=True, timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, arguments)]
        finally:
            connection.close()

    def count(self, table, where="1", *arguments):
        return self.sql("SELECT count(*) AS n FROM %s WHERE %s" % (table, where), *arguments)[0]["n"]

    def rss(self, pid):
        """Resident bytes of a process."""
        with open("/proc/%d/status" % pid) as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024
