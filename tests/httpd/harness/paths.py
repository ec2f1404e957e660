"""Where things are, and private directories that the server's user can reach."""

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import tempfile

REPO = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", ".."))
BUILD = os.path.join(REPO, "build")
SANDBOX = os.path.join(REPO, "tests", "sandbox")
PYTHON = "/usr/bin/python3"
USER = "www-data"


def sanitized():
    """COSELL_SANITIZED=1: httpd with the module of build/asan, slowly."""
    return bool(os.environ.get("COSELL_SANITIZED"))


def sanitizers():
    """What must be loaded before httpd, which was built without."""
    return [subprocess.run(["gcc", "-print-file-name=lib%s.so" % name], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout.strip()
            for name in ("asan", "ubsan")]


def module_path():
    """The module under test."""
    return os.path.abspath(os.environ.get("COSELL_MODULE", os.path.join(BUILD, "asan" if sanitized() else "test", "mod_cosell.so")))


def running_as_root():
    return os.geteuid() == 0


def reachable(path):
    """May the server's user pass through every directory above path?"""
    if not running_as_root():
        return True
    while True:
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def private_directory(name):
    """build/httpd/<name>-<pid>-<n>/, new; a link to a directory under the temporary one where build/ itself cannot be reached by the server's user."""
    base = os.path.join(BUILD, "httpd")
    os.makedirs(base, exist_ok=True)
    path = tempfile.mkdtemp(prefix="%s-%d-" % (name, os.getpid()), dir=base)
    os.chmod(path, 0o755)
    if not reachable(path):
        os.rmdir(path)
        target = tempfile.mkdtemp(prefix="cosell-%s-" % name)
        os.chmod(target, 0o755)
        os.symlink(target, path)
        path = target
    return path


def remove_directory(path):
    for link in os.scandir(os.path.join(BUILD, "httpd")):
        if link.is_symlink() and os.path.realpath(link.path) == path:
            os.unlink(link.path)
    shutil.rmtree(path, ignore_errors=True)


def give_to_server_user(path):
    if running_as_root():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def apxs(name, _known={}):
    if name not in _known:
        _known[name] = subprocess.run(["apxs", "-q", name], check=True, stdout=subprocess.PIPE,
                                      universal_newlines=True).stdout.strip()
    return _known[name]


def httpd_binary():
    for path in (os.environ.get("HTTPD"), "/usr/sbin/apache2", "/usr/sbin/httpd"):
        if path and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError("no httpd: neither /usr/sbin/apache2 nor /usr/sbin/httpd; HTTPD= names another")


def compile_c(source, target, flags=(), libs=()):
    """Compiles when the target is older than its source; safe with several processes at once."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", *flags, "-o",
                            target + ".new", source, *libs], check=True)
            os.rename(target + ".new", target)
    return target


def preload(name):
    """Path of build/preload/<name>.so, made from tests/preload/<name>.c when it is not there yet."""
    return compile_c(os.path.join(REPO, "tests", "preload", name + ".c"), os.path.join(BUILD, "preload", name + ".so"),
                     ["-shared", "-fPIC"], ["-ldl", "-lpthread"])


def bare_module():
    """Path of the handler the benchmark compares with."""
    include = ["-I" + apxs("INCLUDEDIR")]
    include += subprocess.run(["apr-1-config", "--includes", "--cppflags"], check=True, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout.split()
    return compile_c(os.path.join(REPO, "tests", "bench", "mod_bare.c"), os.path.join(BUILD, "bench", "mod_bare.so"),
                     ["-shared", "-fPIC", *include])


def curl_loop():
    return compile_c(os.path.join(REPO, "tests", "bench", "curl_loop.c"), os.path.join(BUILD, "bench", "curl_loop"), [],
                     ["-lcurl"])
